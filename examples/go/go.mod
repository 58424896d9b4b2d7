module moxie.dev/go/examples

go 1.18

require moxie.dev/go/moxie v0.0.0

replace moxie.dev/go/moxie => ../../bindings/go

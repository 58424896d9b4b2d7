module moxie.dev/go/moxie

go 1.18

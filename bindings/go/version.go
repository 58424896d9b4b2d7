package moxie

import (
	"fmt"
	"strings"
	"sync"

	"moxie.dev/go/moxie/internal/raw"
)

// Version is what this package was made for. Any libmoxie with the same first two numbers will do.
const Version = "0.1.0"

// LibraryVersion is that of the libmoxie the program runs with: "MAJOR.MINOR.PATCH".
func LibraryVersion() string { return raw.Mox_version() }

var (
	versionOnce  sync.Once
	versionError error
)

// checkVersion is part of every call that does not begin with an object.
func checkVersion() error {
	versionOnce.Do(func() {
		if found := LibraryVersion(); release(found) != release(Version) {
			versionError = fmt.Errorf("%w: %s is version %q; this package was made for %s.x",
				ErrVersion, raw.Moxie_go_library_path(), found, release(Version))
		}
	})
	return versionError
}

// release is a version without its last number.
func release(version string) string {
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		return parts[0] + "." + parts[1]
	}
	return version
}

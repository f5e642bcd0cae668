//go:build !linux

package control

import (
	"errors"
	"fmt"
)

// OpenBusDir works on Linux only.
//
// Errors: errors.ErrUnsupported.
func OpenBusDir(root, bus string, _ DirOptions) (*BusDir, error) {
	return nil, unsupported("open bus " + bus + " in " + root)
}

// Check works on Linux only.
func (d *BusDir) Check() error { return unsupported("check " + d.path) }

// LookupGroup works on Linux only.
func LookupGroup(name string) (*Group, error) { return nil, unsupported("group " + name) }

func ownedBy(string, int) bool { return false }

func isOutOfDescriptors(error) bool { return false }

func unsupported(what string) error {
	return fmt.Errorf("control: %s: only on Linux: %w", what, errors.ErrUnsupported)
}

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// versionJSON is the output of `version -o json`.
type versionJSON struct {
	Version  string `json:"version"`
	Protocol uint32 `json:"protocol"`
	Layout   uint32 `json:"layout"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// programVersion is the module version this program was built from.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "version of the program, the control protocol and the memory layout",
		Args:  noArgs,
		RunE: a.runE(func(*cobra.Command, []string) error {
			v := versionJSON{
				Version: programVersion(), Protocol: control.Version, Layout: ring.LayoutVersion,
				Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			}
			if a.output == formatJSON {
				return printJSON(v)
			}
			_, err := fmt.Fprintf(stdout{}, "shmbus %s\ncontrol protocol %d\nmemory layout %d\n%s %s\n",
				v.Version, v.Protocol, v.Layout, v.Go, v.Platform)
			return err
		}),
	}
}

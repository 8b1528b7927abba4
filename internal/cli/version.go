package cli

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"glia"
)

type versionCommand struct{ *app }

func (c *versionCommand) command() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of glia",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			return c.print(versionDoc{Version: glia.Version, Go: runtime.Version()})
		},
	}
}

// versionDoc is the result of glia version.
type versionDoc struct {
	Version string `json:"version"`
	Go      string `json:"go"` // the compiler
}

func (d versionDoc) write(w io.Writer, _ time.Time) {
	fmt.Fprintf(w, "glia %s (%s)\n", d.Version, d.Go)
}

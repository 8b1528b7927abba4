package synapsed

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"glia/config"
	"glia/synapse/disk"
	"glia/synapse/template"
)

// openTemplate reads a template and fills it in once.
func openTemplate(c config.Template, services []config.Service, log *slog.Logger) (*template.Output, error) {
	text, err := os.ReadFile(c.Source)
	if err != nil {
		return nil, err
	}
	o := template.Options{
		Name: c.Source, Text: string(text), Services: c.Services, Command: c.Command, Timeout: time.Duration(c.Timeout), Quiet: time.Duration(c.Quiet), Log: log,
		File: disk.File{Path: c.Destination, Check: c.CheckCommand, Timeout: time.Duration(c.Timeout)},
	}
	if len(o.Services) == 0 {
		for _, s := range services {
			o.Services = append(o.Services, s.Name)
		}
	}
	x, err := template.New(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Source, err)
	}
	return x, nil
}

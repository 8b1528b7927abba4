package cli

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"glia/config"
)

type portsCommand struct {
	*app
	config   string
	template string
}

func (c *portsCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ports [SERVICE]",
		Short: "List on which port of this host each service is found",
		Long: `List on which address and port of this host each service is found, or print the port of one, from the configuration of
synapse: no program has to run. With --template a Go template is filled in, so that a port is written in one place only:
{{port "web"}} and {{address "web"}} are those of a service, and {{range .}} goes over all, with .Service, .Address and .Port.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(args) },
	}
	cmd.Flags().StringVar(&c.config, "config", "/etc/glia/synapse.toml", "`file` with the configuration of synapse")
	cmd.Flags().StringVar(&c.template, "template", "", "`file` with a template to fill in")
	return cmd
}

func (c *portsCommand) run(args []string) error {
	s, err := config.LoadSynapse(c.config)
	if err != nil {
		return err
	}
	d := portsDoc{Ports: []servicePort{}}
	for _, v := range s.Services {
		if !v.HAProxy.Disabled && v.HAProxy.Port != 0 {
			address := v.HAProxy.BindAddress
			if address == "" {
				address = s.HAProxy.BindAddress
			}
			d.Ports = append(d.Ports, servicePort{v.Name, address, v.HAProxy.Port})
		}
	}
	switch {
	case c.template != "":
		return c.fill(d)
	case len(args) == 1:
		one, err := d.of(args[0])
		if err != nil {
			return err
		}
		return c.print(one)
	}
	return c.print(d)
}

func (c *portsCommand) fill(d portsDoc) error {
	text, err := os.ReadFile(c.template)
	if err != nil {
		return err
	}
	t, err := template.New(c.template).Option("missingkey=error").Funcs(template.FuncMap{
		"port":    func(service string) (int, error) { p, err := d.of(service); return p.Port, err },
		"address": func(service string) (string, error) { p, err := d.of(service); return p.Address, err },
	}).Parse(string(text))
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, d.Ports); err != nil {
		return err
	}
	_, err = io.WriteString(c.out, b.String())
	return err
}

// portsDoc is the result of glia ports.
type portsDoc struct {
	Ports []servicePort `json:"ports"`
}

// servicePort is where a service is found on this host.
type servicePort struct {
	Service string `json:"service"`
	Address string `json:"address"`
	Port    int    `json:"port"`
}

func (p servicePort) write(w io.Writer, _ time.Time) { fmt.Fprintln(w, p.Port) }

func (d portsDoc) of(service string) (servicePort, error) {
	i := slices.IndexFunc(d.Ports, func(p servicePort) bool { return p.Service == service })
	if i < 0 {
		return servicePort{}, fmt.Errorf("no service %s has a port here", service)
	}
	return d.Ports[i], nil
}

func (d portsDoc) write(w io.Writer, _ time.Time) {
	var rows [][]string
	for _, p := range d.Ports {
		rows = append(rows, []string{p.Service, net.JoinHostPort(p.Address, strconv.Itoa(p.Port))})
	}
	table(w, "SERVICE ADDRESS", rows)
}

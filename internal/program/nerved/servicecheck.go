package nerved

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"glia/config"
	"glia/nerve/check"
	"glia/nerve/service"
)

// serviceCheck makes a check of its configuration. What it reads from files is written into sum too, so that a renewed password or
// authority counts as a change.
func serviceCheck(s config.AnnouncedService, k config.ServiceCheck, sum io.Writer) (out service.Named, err error) {
	at := check.Address{Host: cmp.Or(k.Host, s.Host), Port: cmp.Or(k.Port, s.Port)}
	login := check.Login{User: k.User, Database: k.Database}
	password, err := k.Password.Read()
	if err != nil {
		return out, err
	}
	login.Password = password.Reveal()
	_, _ = io.WriteString(sum, login.Password+"\x00")
	var encrypted *tls.Config
	if k.Type == "https" || k.Type == "grpc" && k.TLS {
		if encrypted, err = checkTLS(k, at.Host, sum); err != nil {
			return out, err
		}
	}
	out = service.Named{Name: k.Name, Timeout: time.Duration(k.Timeout), Rise: k.Rise, Fall: k.Fall}
	if out.Name == "" {
		out.Name = k.Type + " " + at.String()
		switch k.Type {
		case "unix", "ceph":
			out.Name = k.Type + " " + k.Path
		case "exec":
			out.Name = k.Type + " " + k.Command[0]
		case "http", "https":
			out.Name += k.URI
		}
	}
	switch k.Type {
	case "tcp":
		out.Check = check.TCP{Address: at}
	case "udp":
		out.Check = check.UDP{Address: at, Send: k.Send, Expect: k.Expect, Quiet: out.Timeout / 2}
	case "http", "https":
		headers := http.Header{}
		for _, h := range k.Headers {
			name, value, _ := strings.Cut(h, ":")
			headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		out.Check = check.HTTP{Address: at, URI: k.URI, Headers: headers, Expect: k.Expect, Follow: k.Redirects, TLS: encrypted}
	case "grpc":
		out.Check = check.GRPC{Address: at, Service: k.Service, TLS: encrypted}
	case "redis":
		out.Check = check.Redis{Address: at}
	case "rabbitmq":
		out.Check = check.RabbitMQ{Address: at, Login: login}
	case "mysql", "mysql-replication":
		out.Check = check.MySQL{Address: at, Login: login, Replica: k.Type == "mysql-replication", MaxLag: time.Duration(k.MaxLag)}
	case "postgres":
		out.Check = check.Postgres{Address: at, Login: login}
	case "zookeeper":
		out.Check = check.ZooKeeper{Address: at}
	case "unix":
		out.Check = check.Unix{Path: k.Path}
	case "ceph":
		out.Check = check.Ceph{Socket: k.Path, Command: k.Ask, Expect: k.Expect}
	case "exec":
		out.Check = check.Exec{Command: k.Command}
	case "noop":
		out.Check = check.Noop{}
	default:
		return out, fmt.Errorf("type %q is not known", k.Type)
	}
	return out, nil
}

func checkTLS(k config.ServiceCheck, host string, sum io.Writer) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(k.ServerName, host), InsecureSkipVerify: !k.Verify} //nolint:gosec // nerve 0.9.7 verifies nothing; a site may go on so
	if k.CA == "" {
		return c, nil
	}
	b, err := os.ReadFile(k.CA)
	if err != nil {
		return nil, err
	}
	_, _ = sum.Write(b)
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no PEM certificate in it", k.CA)
	}
	return c, nil
}

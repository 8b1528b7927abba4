package program

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/config"
	"glia/config/secret"
	"glia/registry/consul"
	"glia/registry/zookeeper"
)

// ZooKeeperOptions are what the configuration says of ZooKeeper, with the secrets that it names.
func ZooKeeperOptions(c config.ZooKeeper, log *slog.Logger) (zookeeper.Options, error) {
	o := zookeeper.Options{Servers: c.Servers, Path: c.Path, SessionTimeout: time.Duration(c.SessionTimeout), User: c.User, Log: log}
	password, err := c.Password.Read()
	if o.Password = password.Reveal(); err == nil {
		o.TLS, err = ClientTLS(c.CA, c.Cert, c.Key)
	}
	if err == nil && o.TLS == nil && o.User != "" {
		log.Warn("the password for zookeeper can be read on the way; set zookeeper.ca")
	}
	if err != nil {
		return o, fmt.Errorf("zookeeper: %w", err)
	}
	return o, nil
}

// ConsulOptions are what the configuration says of Consul as a registry, with the secrets that it names.
func ConsulOptions(c config.Consul, log *slog.Logger) (consul.Options, error) {
	o := consul.Options{Address: c.Address, Datacenter: c.Datacenter, Path: c.Path, TTL: time.Duration(c.TTL), Log: log}
	token, err := c.Token.Read()
	if o.Token = token.Reveal(); err == nil {
		o.TLS, err = ClientTLS(c.CA, c.Cert, c.Key)
	}
	if err == nil && o.TLS == nil && o.Token != "" && !strings.HasPrefix(c.Address, "unix://") && !loopback(c.Address) {
		log.Warn("the token for consul can be read on the way; set consul.ca")
	}
	if err != nil {
		return o, fmt.Errorf("consul: %w", err)
	}
	return o, nil
}

// ConsulClient calls the Consul of the configuration, for services.
func ConsulClient(c config.Consul) (*api.Client, error) {
	token, err := c.Token.Read()
	if err != nil {
		return nil, err
	}
	o := &api.Config{Address: c.Address, Datacenter: c.Datacenter, Token: token.Reveal(), Scheme: "http"}
	ours, err := ClientTLS(c.CA, c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	way := http.DefaultTransport.(*http.Transport).Clone()
	if way.TLSClientConfig = ours; ours != nil {
		o.Scheme = "https"
	}
	o.HttpClient = &http.Client{Transport: secret.Quiet{Base: way, Secret: token}}
	return api.NewClient(o)
}

// Outward calls servers that are not glia's: through this proxy and no other, trusting this authority, or those of
// the system when it is empty.
func Outward(proxy, ca string) (http.RoundTripper, error) {
	t := &http.Transport{
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, errors.New("the proxy is no URL")
		}
		t.Proxy = http.ProxyURL(u)
	}
	trusted, err := ClientTLS(ca, "", secret.Ref{})
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	if trusted != nil {
		t.TLSClientConfig = trusted
	}
	return t, nil
}

// ClientTLS is nil without an authority. Our certificate is read for each connection, so that a renewed one is used.
func ClientTLS(ca, cert string, key secret.Ref) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no PEM certificate in it", ca)
	}
	if cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := keyPair(cert, key)
			return &pair, err
		}
	}
	return c, nil
}

func keyPair(cert string, key secret.Ref) (tls.Certificate, error) {
	b, err := os.ReadFile(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	k, err := key.Read()
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(b, []byte(k.Reveal()))
}

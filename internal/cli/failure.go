package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// call asks a server one question, with the deadline of the connection.
func call[Req, Res any](
	ctx context.Context, s server,
	rpc func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req,
) (*Res, error) {
	limited, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	res, err := rpc(limited, connect.NewRequest(req))
	if err != nil {
		if interrupted(ctx) {
			return nil, fmt.Errorf("interrupted while the %s was asked; what it was told may have been done", s.name)
		}
		return nil, s.explain(err)
	}
	return res.Msg, nil
}

// explain turns the error of a request into words for an operator: who was asked, what is the
// matter, what to try.
func (s server) explain(err error) error {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return fmt.Errorf("ask the %s at %s: %w", s.name, s.url, err)
	}
	switch ce.Code() {
	case connect.CodeNotFound, connect.CodeInvalidArgument, connect.CodeAlreadyExists:
		return errors.New(ce.Message())
	case connect.CodeFailedPrecondition:
		return refusedError{message: ce.Message(), refusals: attachedRefusals(ce)}
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return refusedError{message: fmt.Sprintf("%s at %s: %s%s", s.name, s.url, ce.Message(), s.inLog())}
	case connect.CodeUnimplemented:
		return fmt.Errorf("%s does not know this request (%s): is a %s of the same version there? Set %s or %s", s.url, ce.Message(), s.name, s.flag, s.env)
	case connect.CodeDeadlineExceeded:
		return fmt.Errorf("%s at %s did not answer within %s: it may be overloaded; try a longer --timeout%s", s.name, s.url, s.wait, s.inLog())
	}
	if connect.IsWireError(err) {
		return fmt.Errorf("%s at %s: %s%s", s.name, s.url, ce.Message(), s.inLog())
	}
	if hint := s.tlsHint(err); hint != "" {
		return fmt.Errorf("%s at %s: %s: %s", s.name, s.url, cause(ce), hint)
	}
	return fmt.Errorf("%s at %s does not answer (%s): is it running? Set %s or %s", s.name, s.url, cause(ce), s.flag, s.env)
}

// inLog is how the server's log calls the request.
func (s server) inLog() string {
	if s.request == "" {
		return ""
	}
	return " (request " + s.request + ")"
}

// attachedRefusals are the gates that the server named with its refusal, if it did.
func attachedRefusals(ce *connect.Error) []refusal {
	var out []refusal
	for _, d := range ce.Details() {
		v, err := d.Value()
		if err != nil {
			continue // a detail of a newer version; the message says the essential
		}
		if r, ok := v.(*gliav1.Refusal); ok {
			out = append(out, refusalFrom(r))
		}
	}
	return out
}

// cause is the innermost thing that went wrong: without the method, the URL and the address, which
// the operator is told anyway.
func cause(ce *connect.Error) string {
	err := ce.Unwrap()
	var errno syscall.Errno
	var dns *net.DNSError
	var ue *url.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &ue):
		return ue.Err.Error()
	}
	return ce.Message()
}

// tlsHint says what to try when there is something at the address, but no conversation came about;
// empty when nothing points at TLS.
func (s server) tlsHint(err error) string {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case errors.As(err, &verify):
		return "its certificate is not trusted; give the authority that signed it with --tls-ca"
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		return "it does not accept your certificate; give one with --tls-cert and --tls-key"
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS; write http:// if it is meant to be plain"
	case unreachable(err):
		return ""
	// A server that wants TLS, or a certificate, ends the connection in one of several ways, of which
	// some look as if it were killed.
	case strings.HasPrefix(s.url, "https://"):
		return "it broke off; try again, or give a certificate that it accepts with --tls-cert and --tls-key"
	default:
		return "it broke off; try again, or if it speaks TLS write https:// and give --tls-cert, --tls-key and --tls-ca"
	}
}

// unreachable says that no connection came about at all.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
)

// GRPC asks the health service of gRPC (grpc.health.v1) and passes when it answers SERVING.
type GRPC struct {
	Address
	Service string      // empty: the server as a whole
	TLS     *tls.Config // nil: not encrypted
}

// serving is the status that passes; see grpc/health/v1/health.proto.
const serving = 1

// healthMessage is a request (a name in field 1) or an answer (a status in field 1).
type healthMessage struct {
	service string
	status  uint64
}

// healthCodec writes and reads the two messages.
type healthCodec struct{}

func (healthCodec) Name() string { return "proto" }

func (healthCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(*healthMessage)
	if !ok {
		return nil, fmt.Errorf("no health message: %T", v)
	}
	if m.service == "" {
		return []byte{}, nil
	}
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), m.service), nil
}

func (healthCodec) Unmarshal(b []byte, v any) error {
	m, ok := v.(*healthMessage)
	if !ok {
		return fmt.Errorf("no health message: %T", v)
	}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if field == 1 && kind == protowire.VarintType {
			m.status, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}

// Probe is part of Check.
func (c GRPC) Probe(ctx context.Context) error {
	var protocols http.Protocols
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	t := &http.Transport{TLSClientConfig: c.TLS, Protocols: &protocols, DialContext: dialer.DialContext}
	defer t.CloseIdleConnections()
	client := connect.NewClient[healthMessage, healthMessage](&http.Client{Transport: t}, scheme+"://"+c.String()+"/grpc.health.v1.Health/Check",
		connect.WithGRPC(), connect.WithCodec(healthCodec{}))
	answer, err := client.CallUnary(ctx, connect.NewRequest(&healthMessage{service: c.Service}))
	if err != nil {
		var e *connect.Error
		if errors.As(err, &e) && e.Code() == connect.CodeNotFound {
			return fmt.Errorf("it knows no service %q: %w", c.Service, err)
		}
		return plain(ctx, err)
	}
	if s := answer.Msg.status; s != serving {
		return fmt.Errorf("its health is %d, and not %d for serving", s, serving)
	}
	return nil
}

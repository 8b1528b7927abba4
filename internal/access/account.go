package access

import (
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gliav1 "glia/api/glia/v1"
)

// account writes the line of a call that changes something, and counts what the service has refused to a
// repairer. An order that runs is asked for again and again: its line comes with its end.
func (g *Guard) account(c *call, r connect.AnyRequest, answer connect.AnyResponse, err error, took time.Duration) {
	if !c.verb.changes {
		return
	}
	outcome := "done"
	switch {
	case err != nil:
		outcome = connect.CodeOf(err).String()
		if c.verb.orders && connect.CodeOf(err) == connect.CodeAborted {
			g.refused.WithLabelValues(c.label(), "epoch").Inc()
		}
	case c.verb.orders:
		switch x, _ := answer.Any().(*gliav1.ExecuteResponse); x.GetState() {
		case gliav1.OrderState_ORDER_STATE_RUNNING:
			return
		case gliav1.OrderState_ORDER_STATE_REFUSED:
			outcome = "refused"
			g.refused.WithLabelValues(c.label(), "order").Inc()
		case gliav1.OrderState_ORDER_STATE_FAILED:
			outcome = "failed"
		}
	}
	attrs := []any{"verb", c.label(), "by", c.who.String(), "from", c.from, "request", c.id, "outcome", outcome, "took", took.Round(time.Millisecond)}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	if m, ok := r.Any().(proto.Message); ok {
		attrs = append(attrs, slog.Attr{Key: "asked", Value: slog.GroupValue(facts(m.ProtoReflect())...)})
	}
	g.Log.Info("call", attrs...)
}

// mostText is how much of one value of a request gets into the log.
const mostText = 200

// facts are the values of a request, those of a message in it among them.
func facts(m protoreflect.Message) (out []slog.Attr) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) || f.IsList() || f.IsMap() {
			continue
		}
		key, v := string(f.Name()), m.Get(f)
		switch {
		case f.Enum() != nil:
			text := fmt.Sprint(v.Enum())
			if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
				text = string(d.Name())
			}
			out = append(out, slog.String(key, text))
		case f.Message() == nil:
			text := v.String()
			out = append(out, slog.String(key, text[:min(len(text), mostText)]))
		default:
			if at, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
				out = append(out, slog.Time(key, at.AsTime()))
			} else {
				out = append(out, facts(v.Message())...)
			}
		}
	}
	return out
}

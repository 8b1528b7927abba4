package repairer

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
)

// Auditor is the ability of a store to prove its log. Each event carries the hash of the one before it,
// so that a changed, removed or inserted event shows. Whoever can write to the database can also make
// the whole chain anew: keep an export elsewhere to notice that.
type Auditor interface {
	// Verify reads the whole log and checks the chain, the sequence numbers, and that each case is
	// what its events say. A break is a finding in the report; an error means that the log could not
	// be read to its end.
	Verify(ctx context.Context) (AuditReport, error)
	// Export gives the log to line, oldest event first, each as one line of JSON without the newline.
	// It ends with the first error of line.
	Export(ctx context.Context, line func([]byte) error) error
}

// AuditReport is what a check of the log found.
type AuditReport struct {
	Events   uint64 // that fit
	Problem  string // the first that does not, in words; empty when the log is whole
	BrokenAt uint64 // its sequence number; 0 when no event is to blame
}

var errNoAudit = connect.NewError(connect.CodeUnimplemented, errors.New("this store keeps no hash chain"))

// VerifyAudit checks the hash chain of the whole log.
func (s *Service) VerifyAudit(ctx context.Context, _ *connect.Request[gliav1.VerifyAuditRequest]) (*connect.Response[gliav1.VerifyAuditResponse], error) {
	a, ok := s.engine.Store.(Auditor)
	if !ok {
		return nil, errNoAudit
	}
	r, err := a.Verify(ctx)
	if err != nil {
		return nil, fail(fmt.Errorf("verify the log: %w", err))
	}
	return connect.NewResponse(&gliav1.VerifyAuditResponse{Events: r.Events, Problem: r.Problem, BrokenAt: r.BrokenAt}), nil
}

// ExportAudit sends the whole log, oldest first.
func (s *Service) ExportAudit(ctx context.Context, _ *connect.Request[gliav1.ExportAuditRequest], stream *connect.ServerStream[gliav1.ExportAuditResponse]) error {
	a, ok := s.engine.Store.(Auditor)
	if !ok {
		return errNoAudit
	}
	err := a.Export(ctx, func(line []byte) error { return stream.Send(&gliav1.ExportAuditResponse{Json: string(line)}) })
	if err != nil {
		return fail(fmt.Errorf("export the log: %w", err))
	}
	return nil
}

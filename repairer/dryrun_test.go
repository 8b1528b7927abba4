package repairer_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// touched is everything that the database holds, as text.
func touched(t *testing.T, db *sql.DB) string {
	t.Helper()
	var out strings.Builder
	for _, table := range []string{"cases", "events", "values_", "pauses", "retired", "tickets", "ticket_comments"} {
		rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, _ := rows.Columns()
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				row[i] = new(any)
			}
			if err := rows.Scan(row...); err != nil {
				t.Fatal(err)
			}
			for _, v := range row {
				fmt.Fprint(&out, *v.(*any), "|")
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// A dry run tells what the hook would be asked, and neither asks it nor changes anything.
func TestService_DryRunTellsOfTheHookAndExecutesNothing(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	command := []string{"/bin/sh", "-c", "echo asked >> " + ran + "; echo freeze until monday; exit 1"}
	w := newWorld(t, func(o *repairer.Options) { o.Hook, o.HookCommand = repairer.CommandHook(command), command })
	api := w.serve()
	orders := 0
	w.fleet.Fault = func(*gliav1.Order, bool) error { orders++; return nil }
	plan := func() *gliav1.PlanRepairResponse {
		r, err := api.PlanRepair(t.Context(), connect.NewRequest(&gliav1.PlanRepairRequest{Serial: "N1S2"}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg
	}
	why := func() string {
		r, err := api.Explain(t.Context(), connect.NewRequest(&gliav1.ExplainRequest{Serial: "N1S2"}))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Msg.GetLines(), "\n")
	}
	w.fail("node-1", "2")
	before := touched(t, w.store.DB())
	p := plan()
	var in struct{ Hash string }
	if err := json.Unmarshal([]byte(p.GetHook().GetInput()), &in); err != nil || in.Hash != p.GetPlan().GetHash() || !slices.Equal(p.GetHook().GetCommand(), command) {
		t.Errorf("hook %v, %v", p.GetHook(), err)
	}
	why()
	if after := touched(t, w.store.DB()); orders > 0 || after != before {
		t.Errorf("%d orders; the database was\n%s, is\n%s", orders, before, after)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Fatal("the hook was run")
	}

	w.until("N1S2", "vetoed", func(c repairer.Case) bool { return len(c.Refusals) > 0 && c.Refusals[0].Gate == repairer.GateHook })
	asked, err := os.ReadFile(ran)
	if err != nil {
		t.Fatal(err)
	}
	before = touched(t, w.store.DB())
	plan()
	if got := why(); !strings.Contains(got, "is asked last, when all gates agree; it was not asked now") || !strings.Contains(got, "it refused: freeze until monday") {
		t.Errorf("why: %s", got)
	}
	if again, _ := os.ReadFile(ran); string(again) != string(asked) || touched(t, w.store.DB()) != before || orders > 0 {
		t.Errorf("a dry run asked the hook or changed something; %d orders", orders)
	}
}

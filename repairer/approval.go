package repairer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Approval is a person's consent to one plan.
type Approval struct {
	Hash     string    `json:"hash"`
	Person   string    `json:"person"`
	Identity string    `json:"identity,omitempty"` // what proves it: a certificate, or the user of the operating system
	At       time.Time `json:"at"`
}

// samePerson says whether two approvals may come from one person: by the name that was given, or by what
// proves it.
func (a Approval) samePerson(b Approval) bool {
	return strings.EqualFold(strings.TrimSpace(a.Person), strings.TrimSpace(b.Person)) || a.Identity != "" && a.Identity == b.Identity
}

// approvals are those of the plan as it stands now, each by another person.
func approvals(c Case) []Approval {
	if c.Plan == nil || len(c.Approvals) == 0 {
		return nil
	}
	hash := c.Plan.Hash()
	var out []Approval
	for _, a := range c.Approvals {
		if a.Hash == hash && !slices.ContainsFunc(out, a.samePerson) {
			out = append(out, a)
		}
	}
	return out
}

// missing is how many more persons must approve the plan until its approval counts.
func missing(c Case) int {
	if c.Plan == nil {
		return 1
	}
	return max(0, max(1, c.Plan.Approvals)-len(approvals(c)))
}

// approved says whether the persons whom it takes have consented to the plan as it stands now.
func approved(c Case) bool { return missing(c) == 0 }

// approvers names who has approved, in order.
func approvers(list []Approval) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Person
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// morePersons is "1 more person", "2 more persons".
func morePersons(n int) string {
	if n == 1 {
		return "1 more person"
	}
	return fmt.Sprintf("%d more persons", n)
}

// approvalWords says who has approved the plan and who is missing; empty when nobody has and nobody must.
func approvalWords(c Case) string {
	have, lack := approvals(c), missing(c)
	switch {
	case len(have) == 0:
		return ""
	case lack == 0:
		return "approved by " + approvers(have)
	}
	return "approved by " + approvers(have) + ", and " + morePersons(lack) + " must approve it"
}

// gateMode holds back what may only be watched, and what persons must approve first.
func gateMode(c Case, _ Facts) *Refusal {
	switch {
	case c.Plan == nil || c.Plan.Mode == ModeAuto || c.Plan.Mode == ModePropose && approved(c):
		return nil
	case c.Plan.Mode == ModePropose:
		value := "plan " + c.Plan.Hash() + " is not approved"
		if words := approvalWords(c); words != "" {
			value = "plan " + c.Plan.Hash() + " is " + words
		}
		limit := "an approval of this very plan"
		if c.Plan.Approvals > 1 {
			limit = fmt.Sprintf("an approval of this very plan by %d persons", c.Plan.Approvals)
		}
		return &Refusal{Gate: GateApproval, Value: value + "; mode " + modeWords(c.Plan), Limit: limit, Until: approveHint(c)}
	}
	return &Refusal{Gate: GateMode, Value: "mode is " + modeWords(c.Plan) + ": the plan is shown and not carried out", Limit: "propose or auto", Until: "the mode of this pool is changed"}
}

func approveHint(c Case) string {
	if c.Plan == nil || c.ID == "" {
		return "a case is open and its plan is approved"
	}
	return fmt.Sprintf("glia approve %s --hash %s", c.ID, c.Plan.Hash())
}

// planned takes a new plan. Approvals of another one lapse for good, also if that comes back.
func (c *Case) planned(p *Plan) {
	if c.Plan == nil || c.Plan.Hash() != p.Hash() {
		c.Approvals = nil
	}
	c.Plan, c.Mode = p, p.Mode
}

// consent notes an approval. A person who has approved already is not counted again.
func (c *Case) consent(a Approval) {
	if !slices.ContainsFunc(c.Approvals, func(b Approval) bool { return a.Hash == b.Hash && a.samePerson(b) }) {
		c.Approvals = append(slices.Clip(c.Approvals), a)
	}
}

// withdraw takes the approvals of a person back.
func (c *Case) withdraw(a Approval) {
	c.Approvals = slices.DeleteFunc(slices.Clone(c.Approvals), a.samePerson)
}

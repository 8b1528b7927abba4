package redmine

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"glia/repairer/ticket"
	"glia/repairer/ticket/courier"
)

// Error is an answer of Redmine that is no success.
type Error = courier.Error

// longestSaid bounds the characters of a reason.
const longestSaid = 400

func (o Options) courier() *courier.Courier {
	return &courier.Courier{Base: o.Transport, Name: "Redmine", Read: o.meaning, Now: o.Now,
		Sign: func(r *http.Request) { r.Header.Set("X-Redmine-API-Key", o.Key.Reveal()) }}
}

// meaning tells a key that is refused, and an issue that is not there.
func (o Options) meaning(a courier.Answer) (m courier.Meaning) {
	switch {
	case a.Status == http.StatusUnauthorized:
		m.Reason, m.Refused = "Redmine does not take this key; see redmine.key, and whether its REST API is switched on", true
	case a.Status == http.StatusForbidden:
		m.Reason = "the user of the key may not do that; see the permissions of its role in the project"
	case a.Status == http.StatusNotFound:
		m.Missing = strings.Contains(a.Path, "/issues/") && (a.JSON || len(bytes.TrimSpace(a.Body)) == 0)
	case a.JSON:
		m.Reason = o.Key.Hide(reasons(a.Body)) // what is between us and Redmine may repeat it
	}
	return m
}

// reasons are all messages of an error in one line.
func reasons(body []byte) string {
	var b struct {
		Errors []string `json:"errors"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return ""
	}
	return ticket.Line(strings.Join(b.Errors, "; "), longestSaid)
}

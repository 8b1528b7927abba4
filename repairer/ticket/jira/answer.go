package jira

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"glia/config/secret"
	"glia/repairer/ticket"
	"glia/repairer/ticket/courier"
)

// Error is an answer of Jira that is no success.
type Error = courier.Error

// longestSaid bounds the characters of a reason.
const longestSaid = 400

func (o Options) courier() *courier.Courier {
	return &courier.Courier{Base: o.Transport, Name: "Jira", Sign: o.sign, Read: o.meaning, Now: o.Now}
}

// sign adds the password of the user, or a personal token.
func (o Options) sign(r *http.Request) {
	if o.User != "" {
		r.SetBasicAuth(o.User, o.Secret.Reveal())
	} else {
		r.Header.Set("Authorization", "Bearer "+o.Secret.Reveal())
	}
}

// meaning tells a login that is refused, and an issue that is not there. Other things that are not found, such as a
// page of a proxy in front of Jira, say nothing about an issue.
func (o Options) meaning(a courier.Answer) (m courier.Meaning) {
	if a.JSON {
		m.Reason = o.hide(reasons(a.Body))
		m.Missing = a.Status == http.StatusNotFound && strings.Contains(a.Path, "/rest/api/2/issue/")
	} else if a.Kind != "" {
		m.Reason = "the answer is " + a.Kind + ", which may be a proxy's"
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		m.Reason, m.Refused = "Jira does not take this user and secret; see jira.user, jira.password and jira.token", true
	case strings.Contains(a.Header.Get("X-Authentication-Denied-Reason"), "CAPTCHA"):
		m.Reason, m.Refused = "Jira wants a CAPTCHA after too many wrong logins: log in once with a browser as the user of glia", true
	}
	return m
}

// hide takes our credentials out of an answer that repeats them, as what is between us and Jira may do.
func (o Options) hide(text string) string {
	basic := secret.Of(base64.StdEncoding.EncodeToString([]byte(o.User + ":" + o.Secret.Reveal())))
	return basic.Hide(o.Secret.Hide(text))
}

// reasons are all messages of an error, of Jira or of a plugin, in one line.
func reasons(body []byte) string {
	var b struct {
		ErrorMessages []string          `json:"errorMessages"`
		Errors        map[string]string `json:"errors"`
		Message       string            `json:"message"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return ""
	}
	var fields []string
	for k, v := range b.Errors {
		fields = append(fields, k+": "+v)
	}
	slices.Sort(fields)
	out := slices.Concat(b.ErrorMessages, fields)
	if b.Message != "" {
		out = append(out, b.Message)
	}
	return ticket.Line(strings.Join(out, "; "), longestSaid)
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/slack-go/slack"

	"glia/config/secret"
)

// Slack tells a channel of Slack by a bot: a thread for each case, whose first message says how far the case is.
type Slack struct {
	Token   secret.Value
	Channel string // id or name
	API     string // https://slack.com/api/
	HTTP    *http.Client
}

var (
	_ Sink     = (*Slack)(nil)
	_ Splitter = (*Slack)(nil)
)

// marks are in front of messages, by severity.
var marks = []string{Info: "", Warning: ":warning: ", Critical: ":rotating_light: "}

// Split is part of Splitter: each case is told by itself.
func (s *Slack) Split(notices []Notice) []Notice {
	var first []Notice
	for _, n := range notices {
		if n.Case == notices[0].Case {
			first = append(first, n)
		}
	}
	return first
}

// Tell is part of Sink. Threads are the time stamps of the first messages. What can be repeated is done first, so that nothing is said
// twice after an error.
func (s *Slack) Tell(ctx context.Context, notices []Notice, skipped int, threads Threads) (Threads, error) {
	api := slack.New(s.Token.Reveal(), slack.OptionAPIURL(s.API), slack.OptionHTTPClient(s.HTTP))
	last := notices[len(notices)-1]
	if last.Case == "" {
		_, err := s.post(ctx, api, marks[worst(notices).Severity]+text(notices, skipped), "", false)
		return threads, err
	}
	head := fmt.Sprintf("%s*%s*: %s", marks[worst(notices).Severity], last.Title, last.State)
	threads = maps.Clone(threads)
	if threads == nil {
		threads = Threads{}
	}
	if ts := threads[last.Case]; ts != "" {
		_, _, _, err := api.UpdateMessageContext(ctx, s.Channel, ts, slack.MsgOptionText(head, false))
		var refused slack.SlackErrorResponse
		switch {
		case errors.As(err, &refused) && refused.Err == "message_not_found":
			delete(threads, last.Case) // a person has deleted it
		case err != nil:
			return threads, s.mend(err)
		}
	}
	if threads[last.Case] == "" {
		ts, err := s.post(ctx, api, head, "", false)
		if err != nil {
			return threads, err
		}
		threads[last.Case] = ts
	}
	if _, err := s.post(ctx, api, said(notices, skipped), threads[last.Case], worst(notices).Urgent); err != nil {
		return threads, err
	}
	if last.Over {
		delete(threads, last.Case)
	}
	return threads, nil
}

// post says something in the channel, or in a thread of it; loud: in both.
func (s *Slack) post(ctx context.Context, api *slack.Client, words, thread string, loud bool) (ts string, err error) {
	options := []slack.MsgOption{slack.MsgOptionText(words, false), slack.MsgOptionDisableLinkUnfurl()}
	if thread != "" {
		options = append(options, slack.MsgOptionTS(thread))
	}
	if loud && thread != "" {
		options = append(options, slack.MsgOptionBroadcast())
	}
	_, ts, err = api.PostMessageContext(ctx, s.Channel, options...)
	return ts, s.mend(err)
}

func (s *Slack) mend(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("slack: " + s.Token.Hide(clean(err)))
}

// SlackHook tells a channel of Slack by an incoming webhook: lines, without threads.
type SlackHook struct {
	URL  secret.Value
	HTTP *http.Client
}

var _ Sink = (*SlackHook)(nil)

// Tell is part of Sink.
func (s *SlackHook) Tell(ctx context.Context, notices []Notice, skipped int, threads Threads) (Threads, error) {
	err := slack.PostWebhookCustomHTTPContext(ctx, s.URL.Reveal(), s.HTTP, &slack.WebhookMessage{Text: marks[worst(notices).Severity] + text(notices, skipped)})
	if err != nil {
		return threads, errors.New("slack: " + s.URL.Hide(clean(err)))
	}
	return threads, nil
}

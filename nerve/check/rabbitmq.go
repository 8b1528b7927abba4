package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RabbitMQ passes when a message can be put into a queue and taken out again. The queue is of the probe's own and goes with its connection,
// so that it lives on the very node that is asked. That of nerve 0.9.7, "nerve", which all share, lived on one node of a cluster, and is
// of a kind that RabbitMQ allows no more from 4.3 on.
type RabbitMQ struct {
	Address
	Login // empty user: guest; the database is the virtual host
}

// queuePrefix is what the names of the queues begin with: a user who may do no more needs the right to ^nerve.
const queuePrefix = "nerve-"

// Probe is part of Check.
func (c RabbitMQ) Probe(ctx context.Context) error {
	user, password := c.User, c.Password
	if user == "" {
		user, password = "guest", "guest"
	}
	config := amqp.Config{Vhost: "/", SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}}, Heartbeat: 10 * time.Second}
	if c.Database != "" {
		config.Vhost = c.Database
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	config.Dial = func(network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil { // not by a deadline: the library sets its own over it
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	conn, err := amqp.DialConfig("amqp://"+c.Address.String(), config)
	if err != nil {
		return plain(ctx, fmt.Errorf("log in as %s to the virtual host %s: %w", user, config.Vhost, err))
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) }()
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	go func() {
		for b := range blocked { // it is closed with the connection
			if b.Active {
				end(fmt.Errorf("%w: %s", errBlocked, b.Reason))
			}
		}
	}()
	err = roundTrip(ctx, conn)
	if why := context.Cause(ctx); errors.Is(why, errBlocked) {
		return why
	}
	return plain(ctx, err)
}

// errBlocked is how a broker with too little memory or disk answers: it reads nothing more from who publishes.
var errBlocked = errors.New("the broker takes no messages")

func roundTrip(ctx context.Context, conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	queue := queuePrefix + rand.Text()
	if _, err := ch.QueueDeclare(queue, false, true, true, false, nil); err != nil { // not durable, deleted by itself, exclusive
		// Without its name, for a reason that does not change from probe to probe is told once.
		return fmt.Errorf("declare a queue: %s", strings.ReplaceAll(err.Error(), queue, queuePrefix+"*"))
	}
	if err := ch.PublishWithContext(ctx, "", queue, true, false, amqp.Publishing{Body: []byte("nerve test message")}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for {
		m, ok, err := ch.Get(queue, false)
		switch {
		case err != nil:
			return fmt.Errorf("get: %w", err)
		case ok:
			return m.Ack(false)
		}
		select { // it is on its way
		case <-ctx.Done():
			return errors.New("the message does not come back")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RabbitMQ passes when a message can be put into the queue "nerve" and taken out again. The message vanishes after two seconds.
type RabbitMQ struct {
	Address
	Login // empty user: guest; the database is the virtual host
}

// nerveQueue is the queue of nerve 0.9.7, so that old and new ones share it.
const nerveQueue = "nerve"

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
	if _, err := ch.QueueDeclare(nerveQueue, false, false, false, false, nil); err != nil {
		return fmt.Errorf("declare the queue %s: %w", nerveQueue, err)
	}
	if err := ch.PublishWithContext(ctx, "", nerveQueue, true, false, amqp.Publishing{Body: []byte("nerve test message"), Expiration: "2000"}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for {
		m, ok, err := ch.Get(nerveQueue, false)
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

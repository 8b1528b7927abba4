package check

import (
	"context"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres passes when a server takes the login and answers a query.
type Postgres struct {
	Address
	Login
}

// Probe is part of Check. It speaks the protocol by pgconn alone: pgx would bring types that nothing here reads, and 3 MB.
func (c Postgres) Probe(ctx context.Context) error {
	u := url.URL{Scheme: "postgres", Host: c.Address.String(), User: url.UserPassword(c.User, c.Password), Path: "/" + c.Database}
	config, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return err
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return plain(ctx, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	_, err = conn.Exec(ctx, "SELECT 1").ReadAll()
	return plain(ctx, err)
}

package check

import (
	"context"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres passes when a server takes the login and answers a query.
type Postgres struct {
	Address
	Login
}

// Probe is part of Check.
func (c Postgres) Probe(ctx context.Context) error {
	u := url.URL{Scheme: "postgres", Host: c.Address.String(), User: url.UserPassword(c.User, c.Password), Path: "/" + c.Database}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return plain(ctx, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	var one int
	return plain(ctx, conn.QueryRow(ctx, "SELECT 1").Scan(&one))
}

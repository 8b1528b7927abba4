package ceph

import (
	"context"
	"fmt"
)

// MonCaps and MgrCaps are all that the driver's cephx user needs: to read, and the few commands that it
// gives. It can set and clear no flag but noin of single OSDs, purge nothing, and read no data and no key.
// The tests of this package run as such a user.
const (
	MonCaps = `allow r, allow command "osd reweight", allow command "osd out", allow command "osd new", ` +
		`allow command "osd set-group" with flags=noin, allow command "osd unset-group" with flags=noin, ` +
		`allow command "osd crush add", allow command "osd crush reweight", ` +
		`allow command "osd crush set-device-class", allow command "osd crush rm-device-class"`
	MgrCaps = `allow r, allow command "osd destroy"`
)

// UserCommand is what makes the user, as an administrator types it.
func UserCommand(user string) string {
	return fmt.Sprintf("ceph auth get-or-create client.%s mon '%s' mgr '%s'", user, MonCaps, MgrCaps)
}

// CreateUser makes the user, as an administrator who is connected as c, and returns its keyring. A user that
// exists keeps its key and gets exactly these capabilities.
func CreateUser(ctx context.Context, c Cluster, user string) (keyring string, err error) {
	entity, caps := "client."+user, []string{"mon", MonCaps, "mgr", MgrCaps}
	b, err := c.Mon(ctx, Command{"prefix": "auth get", "entity": entity}, nil)
	if err == nil {
		_, err = c.Mon(ctx, Command{"prefix": "auth caps", "entity": entity, "caps": caps}, nil)
	} else {
		b, err = c.Mon(ctx, Command{"prefix": "auth get-or-create", "entity": entity, "caps": caps}, nil)
	}
	if err != nil {
		return "", fmt.Errorf("create %s: %w", entity, err)
	}
	var out []struct {
		Key string `json:"key"`
	}
	if err := unmarshal("auth get-or-create", b, &out); err != nil {
		return "", err
	}
	if len(out) != 1 || out[0].Key == "" {
		return "", lacks("auth get-or-create", "key")
	}
	return fmt.Sprintf("[%s]\n\tkey = %s\n", entity, out[0].Key), nil
}

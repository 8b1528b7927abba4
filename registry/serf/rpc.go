package serf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// rpcConn is one connection to the RPC of a Serf agent. It is not safe for concurrent use, and is of no use after an error.
//
// Serf's own client waits for an answer for ever, and can not be closed while one comes in without a data race. The
// protocol is documented at https://www.serf.io/docs/agent/rpc.html: MessagePack maps, a header before each body.
type rpcConn struct {
	net.Conn
	out *bufio.Writer
	enc *codec.Encoder
	dec *codec.Decoder
	seq uint64
}

// answerWithin bounds each call. It is more than the 5 seconds for which an agent waits until its tags have gone out.
const answerWithin = 10 * time.Second

// The version of the protocol, and what an agent says about the key that it wants.
const (
	rpcVersion   = 1
	authRequired = "Authentication required"
	authWrong    = "Invalid authentication token"
)

type rpcRequest struct {
	Command string
	Seq     uint64
}

type rpcResponse struct {
	Seq   uint64
	Error string
}

// dialRPC connects, and presents the key when there is one.
func dialRPC(ctx context.Context, addr, key string) (*rpcConn, error) {
	d := net.Dialer{Timeout: answerWithin}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &rpcConn{Conn: conn, out: bufio.NewWriter(conn)}
	handle := &codec.MsgpackHandle{WriteExt: true}
	c.enc, c.dec = codec.NewEncoder(c.out, handle), codec.NewDecoder(bufio.NewReader(conn), handle)
	err = c.call(ctx, "handshake", map[string]int{"Version": rpcVersion}, nil)
	if err == nil && key != "" {
		err = c.call(ctx, "auth", map[string]string{"AuthKey": key}, nil)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// call makes one request and reads its answer into the response, which is nil when none but the header comes.
func (c *rpcConn) call(ctx context.Context, command string, request, response any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // wakes whoever waits
	err := c.exchange(command, request, response)
	if !stop() { // even with an answer: the deadline stays, and would end the next call
		return context.Cause(ctx)
	}
	return err
}

func (c *rpcConn) exchange(command string, request, response any) error {
	c.seq++
	if err := c.enc.Encode(rpcRequest{command, c.seq}); err != nil {
		return err
	}
	if request != nil {
		if err := c.enc.Encode(request); err != nil {
			return err
		}
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	var head rpcResponse
	if err := c.dec.Decode(&head); err != nil {
		return err
	}
	switch {
	case head.Seq != c.seq:
		return fmt.Errorf("it answers request %d when %d was asked", head.Seq, c.seq)
	case head.Error == authRequired:
		return errors.New("it wants a key, the rpc_auth of its configuration")
	case head.Error == authWrong:
		return errors.New("the key is not the rpc_auth of its configuration")
	case head.Error != "":
		return errors.New(head.Error)
	case response == nil:
		return nil
	}
	return c.dec.Decode(response)
}

// events calls tell for each event of a kind of the list, until the connection ends or ctx is done.
func (c *rpcConn) events(ctx context.Context, kinds string, tell func()) error {
	if err := c.call(ctx, "stream", map[string]string{"Type": kinds}, nil); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	for {
		var head rpcResponse
		var record map[string]any
		if err := c.dec.Decode(&head); err != nil {
			return err
		}
		if err := c.dec.Decode(&record); err != nil {
			return err
		}
		tell()
	}
}

// rpcMember is a member as the agent lists it; what else is in it is of no use here.
type rpcMember struct {
	Name   string
	Tags   map[string]string
	Status string
}

func (c *rpcConn) members(ctx context.Context) ([]rpcMember, error) {
	var answer struct{ Members []rpcMember }
	err := c.call(ctx, "members", nil, &answer)
	return answer.Members, err
}

// node is the name of the agent's own member.
func (c *rpcConn) node(ctx context.Context) (string, error) {
	var answer map[string]map[string]string
	err := c.call(ctx, "stats", nil, &answer)
	return answer["agent"]["name"], err
}

// setTags sets and deletes tags of the agent's member.
func (c *rpcConn) setTags(ctx context.Context, set map[string]string, remove []string) error {
	return c.call(ctx, "tags", struct {
		Tags       map[string]string
		DeleteTags []string
	}{set, remove}, nil)
}

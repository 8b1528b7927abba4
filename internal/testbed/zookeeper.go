package testbed

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The jars of Debian's libzookeeper-java and libslf4j-java that a server needs.
var zkJars = []string{"zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "netty-handler", "netty-common", "netty-buffer",
	"netty-transport", "netty-codec", "netty-resolver", "netty-all", "metrics-core", "snappy-java", "commons-cli", "commons-io"}

// ZooKeeper starts a server with a tick of 200 ms, so that sessions may be as short as 400 ms, and up to a minute. The lines are
// added to its configuration. The test is skipped when ZooKeeper is not installed.
func ZooKeeper(t testing.TB, lines ...string) *Server {
	t.Helper()
	s := newZooKeeper(t, lines...)
	s.Start(t)
	return s
}

// ZooKeeperTLS starts a server that serves at secure only clients with a certificate.
func ZooKeeperTLS(t testing.TB, c Certs) (s *Server, secure string) {
	t.Helper()
	port := freePort(t)
	return ZooKeeper(t, fmt.Sprintf("secureClientPort=%d", port), "secureClientPortAddress=127.0.0.1",
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"ssl.keyStore.location="+c.Both, "ssl.keyStore.type=PEM", "ssl.trustStore.location="+c.CA, "ssl.trustStore.type=PEM", "ssl.clientAuth=need"), local(port)
}

// ZooKeepers starts an ensemble of n servers.
func ZooKeepers(t testing.TB, n int) []*Server {
	t.Helper()
	lines := []string{"cnxTimeout=1"}
	for i := range n {
		lines = append(lines, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i+1, freePort(t), freePort(t)))
	}
	var out []*Server
	for i := range n {
		s := newZooKeeper(t, lines...)
		if err := os.WriteFile(filepath.Join(filepath.Dir(s.log), "data", "myid"), fmt.Appendln(nil, i+1), 0o600); err != nil {
			t.Fatal(err)
		}
		s.ready = func(ctx context.Context) error { return zkSays(ctx, s.Addr, "mntr", "zk_server_state") }
		s.launch(t)
		out = append(out, s)
	}
	for _, s := range out {
		s.await(t)
	}
	return out
}

func newZooKeeper(t testing.TB, lines ...string) *Server {
	t.Helper()
	java, err := exec.LookPath("java")
	var path []string
	for _, j := range zkJars {
		path = append(path, "/usr/share/java/"+j+".jar")
	}
	if err == nil {
		err = need(path[:4]...)
	}
	if err != nil {
		t.Skipf("ZooKeeper: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	conf := append([]string{
		"tickTime=200", "initLimit=25", "syncLimit=10", "minSessionTimeout=400", "maxSessionTimeout=60000", "maxClientCnxns=0", "dataDir=" + filepath.Join(dir, "data"),
		fmt.Sprintf("clientPort=%d", port), "clientPortAddress=127.0.0.1", "admin.enableServer=false", "4lw.commands.whitelist=*",
		"forceSync=no", "preAllocSize=1024",
	}, lines...)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: local(port), log: filepath.Join(dir, "log"), argv: []string{
		java, "-Xms16m", "-Xmx96m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dzookeeper.jmx.log4j.disable=true",
		"-cp", strings.Join(path, ":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", file,
	}}
	// It answers ruok, and turns clients away, before it serves.
	s.ready = func(ctx context.Context) error { return zkSays(ctx, s.Addr, "srvr", "Mode: ") }
	s.cleanup(t)
	return s
}

// zkSays asks a server by one of its four-letter words, and wants the text in its answer.
func zkSays(ctx context.Context, addr, word, want string) error {
	answer, err := ZooKeeperWord(ctx, addr, word)
	if err == nil && !strings.Contains(answer, want) {
		err = fmt.Errorf("%s answers %s with %q", addr, word, answer)
	}
	return err
}

// ZooKeeperWord asks a server by one of its four-letter words, such as mntr.
func ZooKeeperWord(ctx context.Context, addr, word string) (string, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

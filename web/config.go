package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/shmbus/shmbus/bus"
)

// DefaultAddress is where the bridge listens if nothing else is asked for.
const DefaultAddress = "127.0.0.1:8480"

// Config says what a bridge offers.
type Config struct {
	// Bus to open; as a subscriber and publisher the bridge never hosts it.
	Bus bus.Config
	// Token that every request must have. If it is empty, that of TokenFile;
	// see [LoadToken].
	Token     string
	TokenFile string
	// AllowPublish: POST publishes. Without it the bridge only reads.
	AllowPublish bool
	// Hosts are allowed in the Host header besides those of loopback.
	Hosts []string
	// Origins of other sites (scheme://host[:port]) whose pages may use the API
	// with the token; they get CORS headers.
	Origins []string
	// MaxStreams is how many streams there may be at once; 0 means 64.
	MaxStreams int
	// MaxPublishRate is how many messages may be published in a second, all
	// clients together; 0 means 10 000.
	MaxPublishRate int
	// Logger gets requests that were refused, and errors; nil means silence.
	Logger *slog.Logger
}

const (
	defaultStreams     = 64
	defaultPublishRate = 10_000
)

// complete fills in defaults and checks.
func (c *Config) complete() error {
	if c.Token == "" && c.TokenFile == "" {
		return fmt.Errorf("%w: no token and no file of one", ErrConfig)
	}
	c.Bus.NeverHost = true
	if c.MaxStreams <= 0 {
		c.MaxStreams = defaultStreams
	}
	if c.MaxPublishRate <= 0 {
		c.MaxPublishRate = defaultPublishRate
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return fmt.Errorf("%w: origin %q: want scheme://host[:port] and nothing else", ErrConfig, o)
		}
	}
	return nil
}

// Listen listens on HOST:PORT, where HOST is a loopback address or localhost,
// or on unix:PATH, a socket of mode 0600. Anything else is refused
// ([ErrConfig]): the bridge speaks plain HTTP, and who is to reach it from
// elsewhere needs a proxy in front that does not.
func Listen(address string, listenUnix func(string) (net.Listener, error)) (net.Listener, error) {
	if address == "unix:" {
		return nil, fmt.Errorf("%w: address %q: want unix:PATH", ErrConfig, address)
	}
	if strings.HasPrefix(address, "unix:") {
		return listenUnix(address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: address %q: %w: want HOST:PORT or unix:PATH", ErrConfig, address, err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("%w: address %q is not on loopback: listen on 127.0.0.1 and put a proxy in front", ErrConfig, address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return nil, fmt.Errorf("%w: address %q: port %q: want a number up to 65535", ErrConfig, address, port)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return l, nil
}

// isLoopback reports whether a host without port names this machine to itself.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

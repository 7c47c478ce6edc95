// Package config reads servald's configuration: a file in TOML that says which
// services this host offers, and how programs that know nothing of Serval reach
// others. Reading is strict: what is not known is an error that says where it is and
// what could stand there. docs/configuration.md describes every key.
package config

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/pelletier/go-toml/v2"
)

// Config is a whole configuration. The zero value is that of an empty file: nothing
// but gossip and the control socket. One that was not made by Load or Parse has to
// be completed with Check.
type Config struct {
	Node      Node       `toml:"node"`
	Gossip    Gossip     `toml:"gossip"`
	Addresses Addresses  `toml:"addresses"`
	Clients   Clients    `toml:"clients"`
	DNS       *DNS       `toml:"dns"`
	TUN       *TUN       `toml:"tun"`
	SOCKS5    *SOCKS5    `toml:"socks5"`
	HTTPProxy *HTTPProxy `toml:"http_proxy"`
	Expose    []Expose   `toml:"expose"`
	Forward   []Forward  `toml:"forward"`
	Capture   []Capture  `toml:"capture"`
	Name      []Rule     `toml:"name"`
}

// maxFile is the most bytes of a configuration: far above thousands of sections.
const maxFile = 4 << 20

// Load reads and checks the file at path. It refuses one that others than its owner,
// who is root or this user, may write to, because it names commands to run; and one
// that others may read if it holds passwords. Errors name the file and the line.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file; name the configuration file itself", path)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	if c.secret() {
		if err := checkSecret(path, info); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Parse reads and checks a configuration. The errors, all that were found, begin with
// name, which is that of the file.
func Parse(name string, text []byte) (*Config, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxFile)
	}
	c := new(Config)
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, explain(name, err)
	}
	if err := c.Check(); err != nil {
		return nil, prefix(name, err)
	}
	return c, nil
}

// secret reports whether the configuration holds passwords.
func (c *Config) secret() bool {
	return c.SOCKS5 != nil && len(c.SOCKS5.Users) > 0 || c.HTTPProxy != nil && len(c.HTTPProxy.Users) > 0
}

// Package home is the directory in which servald keeps what outlives it: the node's
// key, the join token that admits the programs of this host, and the cluster's root
// key where the cluster was made. All are secrets, readable by their owner only.
package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/servald/internal/wholefile"
)

// Variable is the environment variable that names the directory.
const Variable = "SERVAL_HOME"

const (
	tokenFile = "token"
	peersFile = "peers"
	maxPeers  = 32
)

// ErrNotJoined says that the directory holds no node.
var ErrNotJoined = errors.New("this host belongs to no cluster yet")

// Home is one such directory.
type Home struct {
	dir   string
	store identity.Store
}

// Default is $SERVAL_HOME, else /var/lib/serval for root, else "serval" in the
// user's configuration directory.
func Default() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/serval", nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no directory for servald's keys: set %s or use --home: %w", Variable, err)
	}
	return filepath.Join(dir, "serval"), nil
}

// At returns the home at dir, which need not exist yet.
func At(dir string) Home { return Home{dir, identity.Store{Dir: dir}} }

// Dir returns the directory.
func (h Home) Dir() string { return h.dir }

// Identity loads the node's identity. The error is ErrNotJoined if there is none.
func (h Home) Identity() (*identity.Identity, error) {
	id, err := h.store.LoadIdentity()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, h.notJoined()
	}
	return id, err
}

// Root loads the cluster's root key.
func (h Home) Root() (*identity.Root, error) {
	root, err := h.store.LoadRoot()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no cluster key: tokens are made where the cluster was, by whoever ran `servald init`", h.dir)
	}
	return root, err
}

// Join stores a node that has joined a cluster, and the token that admitted it. It
// refuses to replace a node that is there unless replace is set.
func (h Home) Join(id *identity.Identity, token *identity.Token, replace bool) error {
	if !replace {
		if err := h.checkEmpty(); err != nil {
			return err
		}
	}
	if err := h.store.SaveIdentity(id); err != nil {
		return err
	}
	return wholefile.Replace(h.TokenFile(), []byte(token.String()+"\n"))
}

// Init stores the root of a new cluster and its first node. It replaces nothing.
func (h Home) Init(root *identity.Root, id *identity.Identity, token *identity.Token) error {
	if err := h.checkEmpty(); err != nil {
		return err
	}
	if err := h.store.SaveRoot(root); err != nil {
		return err
	}
	return h.Join(id, token, true)
}

func (h Home) checkEmpty() error {
	_, err := h.store.LoadRoot()
	if errors.Is(err, fs.ErrNotExist) {
		_, err = h.store.LoadIdentity()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%s holds the keys of a node already: they are not overwritten; use another directory with --home or %s", h.dir, Variable)
}

// TokenFile returns the path of the file with the token.
func (h Home) TokenFile() string { return filepath.Join(h.dir, tokenFile) }

// Token loads the token that admitted this host, and admits its programs. The error
// is ErrNotJoined if there is none.
func (h Home) Token() (*identity.Token, error) {
	text, err := os.ReadFile(h.TokenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, h.notJoined()
	}
	if err != nil {
		return nil, err
	}
	return identity.ParseToken(string(text))
}

// SavePeers stores gossip addresses at which the others were last seen, so that the
// host finds them again after a restart, even the one that the others joined at.
func (h Home) SavePeers(addrs []string) error {
	text := strings.Join(addrs[:min(len(addrs), maxPeers)], "\n") + "\n"
	return wholefile.Replace(filepath.Join(h.dir, peersFile), []byte(text))
}

// Peers returns what SavePeers has stored; nothing if that cannot be read.
func (h Home) Peers() []string {
	text, err := os.ReadFile(filepath.Join(h.dir, peersFile))
	if err != nil {
		return nil
	}
	peers := strings.Fields(string(text))
	return peers[:min(len(peers), maxPeers)]
}

func (h Home) notJoined() error {
	return fmt.Errorf("%w (there is no key in %s): run `servald init` to make a cluster or `servald join TOKEN` to enter one", ErrNotJoined, h.dir)
}

package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/crypto/cryptobyte"
)

const (
	nodeFile = "node.key"
	rootFile = "cluster.key"
)

// Store keeps a node's identity, and a cluster's root where it was made, in a
// directory: node.key and cluster.key, readable by their owner only. Each file
// is replaced as a whole. Loading what is not there fails with fs.ErrNotExist.
type Store struct {
	Dir string
}

// SaveIdentity writes node.key, with the directory if need be.
func (s Store) SaveIdentity(id *Identity) error {
	b := append([]byte(nil), id.key.Seed()...)
	b = append(b, id.static.Bytes()...)
	b = append(b, id.cluster.root...)
	b = append(b, id.cluster.secret[:]...)
	return s.save(nodeFile, nodeArmor, append(b, id.chain...))
}

// LoadIdentity reads node.key. It does not check whether the membership has
// expired: see Identity.Expires and Identity.Renew.
func (s Store) LoadIdentity() (*Identity, error) {
	body, err := s.load(nodeFile, nodeArmor)
	if err != nil {
		return nil, err
	}
	var seed, static, root, secret [32]byte
	r := cryptobyte.String(body)
	if !r.CopyBytes(seed[:]) || !r.CopyBytes(static[:]) || !r.CopyBytes(root[:]) || !r.CopyBytes(secret[:]) {
		return nil, s.damaged(nodeFile, errors.New("it is too short"))
	}
	key, err := ecdh.X25519().NewPrivateKey(static[:])
	if err != nil {
		return nil, s.damaged(nodeFile, err)
	}
	cluster := &Cluster{root: root[:], secret: secret}
	id, err := newIdentity(cluster, ed25519.NewKeyFromSeed(seed[:]), key, r)
	if err != nil {
		return nil, s.damaged(nodeFile, err)
	}
	return id, nil
}

// SaveRoot writes cluster.key, with the directory if need be.
func (s Store) SaveRoot(r *Root) error {
	return s.save(rootFile, rootArmor, append(r.key.Seed(), r.cluster.secret[:]...))
}

// LoadRoot reads cluster.key.
func (s Store) LoadRoot() (*Root, error) {
	body, err := s.load(rootFile, rootArmor)
	if err != nil {
		return nil, err
	}
	if len(body) != 64 {
		return nil, s.damaged(rootFile, errors.New("it does not hold two keys"))
	}
	return newRoot(ed25519.NewKeyFromSeed(body[:32]), [32]byte(body[32:])), nil
}

func (s Store) path(name string) string { return filepath.Join(s.Dir, name) }

func (s Store) damaged(name string, err error) error {
	return fmt.Errorf("%s is damaged, restore it from a backup or delete it and join again: %w", s.path(name), err)
}

func (s Store) load(name string, a armor) ([]byte, error) {
	path := s.path(name)
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("the %s cannot be read, run as its owner: %w", a.what, err)
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(path, info); err != nil {
		return nil, err
	}
	if info.Size() > 2*maxArmorBody {
		return nil, s.damaged(name, errors.New("it is longer than any key"))
	}
	text := make([]byte, info.Size())
	if n, err := f.ReadAt(text, 0); n < len(text) {
		return nil, err
	}
	body, err := a.decode(string(text))
	if err != nil {
		return nil, s.damaged(name, err)
	}
	return body, nil
}

// checkMode refuses a key that others could have read or replaced.
func checkMode(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: move it away", path)
	}
	// Windows guards files by access lists, which mode bits do not show.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("%s is open to other users (mode %04o): check who had access, then run chmod 600 %s", path, mode, path)
	}
	return nil
}

// save replaces the file as a whole: a crash leaves the old one or the new one.
func (s Store) save(name string, a armor, body []byte) (err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.Dir, name+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.WriteString(a.encode(body) + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(name))
}

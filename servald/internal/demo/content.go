package main

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stamp is the time of all files, so that the replicas have the same version of the
// content and a download can go on from another of them.
var stamp = time.Unix(1_700_000_000, 0)

// errEnough ends the collection of content.
var errEnough = errors.New("enough")

// makeContent writes a tar of at least size bytes of source code: that of Go itself,
// and of the modules this project uses. The same sources give the same bytes.
func makeContent(path string, size int64) (sum string, n int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	c := &collector{hash: sha256.New(), size: size}
	buffered := bufio.NewWriterSize(f, 1<<20)
	c.tar = tar.NewWriter(io.MultiWriter(buffered, c.hash, &c.count))
	if err := c.collect(); err != nil {
		return "", 0, err
	}
	if err := errors.Join(c.tar.Close(), buffered.Flush(), f.Close(), os.Chtimes(path, stamp, stamp)); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(c.hash.Sum(nil)), int64(c.count), nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

type collector struct {
	tar   *tar.Writer
	hash  hash.Hash
	count counter
	size  int64
}

// collect adds files, from the start again if there are too few of them.
func (c *collector) collect() error {
	out, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("asking go for its directories: %w", err)
	}
	dirs := strings.Split(strings.TrimSpace(string(out)), "\n")
	dirs[0] = filepath.Join(dirs[0], "src")
	for round := 1; ; round++ {
		before := c.count
		for _, dir := range dirs {
			err := c.addTree(dir, fmt.Sprintf("%d/%s", round, filepath.Base(dir)))
			if err == errEnough {
				return nil
			}
			if err != nil {
				return err
			}
		}
		if c.count == before {
			return errors.New("no source code found to fill the file with")
		}
	}
}

func (c *collector) addTree(dir, name string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // no module cache is no reason to stop
	}
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what cannot be read is left out
		}
		if int64(c.count) >= c.size {
			return errEnough
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		h := &tar.Header{Name: name + "/" + filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(b)), ModTime: stamp, Format: tar.FormatPAX}
		if err := c.tar.WriteHeader(h); err != nil {
			return err
		}
		_, err = c.tar.Write(b)
		return err
	})
}

// fileSum is the SHA-256 of a file.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestStore(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "new", "dir")}
	if _, err := s.LoadIdentity(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading nothing: %v, want fs.ErrNotExist", err)
	}
	root := NewRoot()
	id := mustJoin(t, mustGrant(t, root, Grant{}), Member{Name: "n"})
	for range 2 { // the second time, files are replaced
		if err := errors.Join(s.SaveIdentity(id), s.SaveRoot(root)); err != nil {
			t.Fatal(err)
		}
	}
	gotID, err := s.LoadIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if gotID.Node() != id.Node() || !bytes.Equal(gotID.Chain(), id.Chain()) ||
		!gotID.Static().Equal(id.Static()) || gotID.Cluster().GossipKey() != id.Cluster().GossipKey() {
		t.Error("the loaded identity is another")
	}
	gotRoot, err := s.LoadRoot()
	if err != nil {
		t.Fatal(err)
	}
	if !gotRoot.key.Equal(root.key) || gotRoot.cluster.secret != root.cluster.secret {
		t.Error("the loaded root is another")
	}
	files, err := os.ReadDir(s.Dir)
	if err != nil || len(files) != 2 {
		t.Errorf("the directory holds %v, want two files", files)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
}

func TestStoreRefusesOpenKey(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no mode bits")
	}
	s := Store{Dir: t.TempDir()}
	if err := s.SaveRoot(NewRoot()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path(rootFile), 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := s.LoadRoot()
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("chmod 600")) {
		t.Errorf("error = %v, want advice to chmod 600", err)
	}
}

func TestStoreDamaged(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	id := mustJoin(t, mustGrant(t, NewRoot(), Grant{}), Member{})
	if err := s.SaveIdentity(id); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path(nodeFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text []byte
		want error
	}{
		{text[:len(text)/2], ErrTruncated},
		{bytes.Replace(text, text[100:110], []byte("0123456789"), 1), ErrAltered},
	} {
		if err := os.WriteFile(s.path(nodeFile), tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.LoadIdentity()
		wantErr(t, err, tt.want, "node.key", "restore it")
	}
	if err := os.Remove(s.path(nodeFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path(nodeFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LoadIdentity(); err == nil {
		t.Error("a directory was read as a key")
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestContentIsTheSameEachTime(t *testing.T) {
	dir := t.TempDir()
	var sums []string
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		sum, n, err := makeContent(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fileSum(path); err != nil || got != sum || size(path) != n || n < 1<<20 {
			t.Fatalf("%s: sum %s of %d bytes, told %s of %d, %v", name, got, size(path), sum, n, err)
		}
		sums = append(sums, sum)
	}
	if sums[0] != sums[1] {
		t.Error("two files of different content")
	}
	f, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := 0
	for r := tar.NewReader(f); ; files++ {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if files < 10 {
		t.Errorf("%d files in the content", files)
	}
}

func TestProcess(t *testing.T) {
	p, err := start("shell", []string{"WORD=hello"}, "sh", "-c", `echo "say $WORD" >&2; read x`)
	if err != nil {
		t.Skip(err)
	}
	if word, err := p.expect(t.Context(), `say (\w+)`); err != nil || word != "hello" {
		t.Errorf("expected %q, %v", word, err)
	}
	if _, err := p.expect(t.Context(), `never`); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("a program that ended: %v", err)
	}
	p.kill()
	hung, err := start("sleep", nil, "sleep", "1000")
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hung.expect(ctx, `never`); err == nil {
		t.Error("no error from a program that says nothing")
	}
	hung.kill()
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	table(&b, []row{
		{step: "curl", instance: "svc:files#a", bytes: 1 << 20, elapsed: time.Second, sum: true},
		{step: "again", instance: "svc:files#b", bytes: 1 << 20, elapsed: time.Second, dial: 3 * time.Millisecond, sum: true},
	})
	for _, want := range []string{"svc:files#a", "1.0 MiB", "8.4 Mbit/s", "3ms", "same"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nlacks %q", b.String(), want)
		}
	}
}

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheSameNameGivesTheSameDigest(t *testing.T) {
	first := digestOf(image("podinfo", "1.0.0", "amd64").manifest)
	if again := digestOf(image("podinfo", "1.0.0", "amd64").manifest); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	if other := digestOf(image("podinfo", "1.0.1", "amd64").manifest); other == first {
		t.Errorf("two tags share %s", first)
	}
}

func TestARefusedPushNamesTheRequestAndTheAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of space", http.StatusInsufficientStorage)
	}))
	defer server.Close()
	err := run([]string{strings.TrimPrefix(server.URL, "http://"), "push", "podinfo", "1.0.0"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"push podinfo:1.0.0", "POST", "507", "out of space"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not contain %q", err, part)
		}
	}
}

func TestSampleTagsAreNamedOnce(t *testing.T) {
	for _, sample := range samples {
		seen := map[string]bool{}
		for _, tag := range sample.tags {
			if seen[tag] {
				t.Errorf("%s:%s is there twice", sample.repository, tag)
			}
			seen[tag] = true
		}
		for _, tag := range sample.signed {
			if !seen[tag] {
				t.Errorf("%s:%s is signed but not pushed", sample.repository, tag)
			}
		}
	}
}

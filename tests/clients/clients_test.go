package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

func tag(name, version, content string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"kind": "ImageTag", "tag": content,
		"metadata": map[string]any{"namespace": "ns", "name": name, "resourceVersion": version},
	}}
}

func TestEveryDifferenceIsSeen(t *testing.T) {
	of := func(tags ...*unstructured.Unstructured) objects {
		known := objects{}
		for _, tag := range tags {
			known.put(tag)
		}
		return known
	}
	wanted := of(tag("a", "1", "x"), tag("b", "2", "y"))
	for what, test := range map[string]struct {
		known objects
		says  string
	}{
		"equal":   {of(tag("b", "2", "y"), tag("a", "1", "x")), ""},
		"missing": {of(tag("a", "1", "x")), "ns/b is missing"},
		"more":    {of(tag("a", "1", "x"), tag("b", "2", "y"), tag("c", "3", "z")), "ns/c should be gone"},
		"older":   {of(tag("a", "1", "x"), tag("b", "1", "y")), "ns/b is map"},
		"other":   {of(tag("a", "1", "x"), tag("b", "2", "z")), "ns/b is map"},
	} {
		err := differences(test.known, wanted)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAModelComplainsOfWhatCannotBe(t *testing.T) {
	for what, test := range map[string]struct {
		tell func(*model)
		says string
	}{
		"right": {func(m *model) {
			m.OnAdd(tag("a", "1", "x"), true)
			m.OnUpdate(nil, tag("a", "2", "y"))
			m.OnDelete(cache.DeletedFinalStateUnknown{Obj: tag("a", "2", "y")})
			m.OnAdd(tag("a", "3", "x"), false)
		}, ""},
		"twice":    {func(m *model) { m.OnAdd(tag("a", "1", "x"), true); m.OnAdd(tag("a", "2", "x"), true) }, "added twice"},
		"early":    {func(m *model) { m.OnUpdate(nil, tag("a", "1", "x")) }, "before it was added"},
		"absent":   {func(m *model) { m.OnDelete(tag("a", "1", "x")) }, "without being there"},
		"backward": {func(m *model) { m.OnAdd(tag("a", "2", "x"), true); m.OnUpdate(nil, tag("a", "1", "x")) }, "went back"},
		"lie":      {func(m *model) { m.OnAdd(tag("a", "1", "x"), true); m.OnUpdate(nil, tag("a", "1", "y")) }, "two contents"},
		"other":    {func(m *model) { m.OnAdd("a string", true) }, "a string"},
		"unknown":  {func(m *model) { m.OnAdd(tag("a", "", "x"), true) }, "parsing"},
	} {
		ledger := newLedger()
		test.tell(newModel("model", ledger))
		err := ledger.first()
		if (err == nil) != (test.says == "") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// echo answers what it is sent.
func echo(t *testing.T) string {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = io.Copy(connection, connection)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestAProxyPassesOnAndCutsWhenItIsTold(t *testing.T) {
	p, err := newProxy(t.Context(), echo(t), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := (&net.Dialer{}).DialContext(context.Background(), "tcp4", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	buffer := make([]byte, 4)
	if _, err := connection.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(connection, buffer); err != nil || string(buffer) != "ping" {
		t.Fatalf("%q, %v", buffer, err)
	}
	if p.cuts.Load() != 0 {
		t.Error("it cuts without being told to")
	}
	p.cut(true)
	if _, err := io.ReadFull(connection, buffer); err == nil {
		t.Error("the connection was not cut")
	}
	if p.cuts.Load() != 1 {
		t.Errorf("%d cuts", p.cuts.Load())
	}
}

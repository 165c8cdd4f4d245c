package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// ledger holds what every follower was told, so that two contents under one resourceVersion do not go unnoticed.
type ledger struct {
	mu        sync.Mutex
	contents  map[string][sha256.Size]byte
	complaint error
}

func newLedger() *ledger { return &ledger{contents: map[string][sha256.Size]byte{}} }

// complain keeps the first thing that cannot be.
func (l *ledger) complain(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.complaint == nil {
		l.complaint = err
	}
}

func (l *ledger) first() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.complaint
}

// look compares the object with what others were told under the same resourceVersion.
func (l *ledger) look(object *unstructured.Unstructured) error {
	text, err := json.Marshal(object.Object)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	name := object.GetKind() + " " + object.GetResourceVersion()
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.contents[name]; ok && before != sum {
		return fmt.Errorf("resourceVersion %s names two contents, one of them %s", object.GetResourceVersion(), text)
	}
	l.contents[name] = sum
	return nil
}

// model is what events alone say, from the first one on. What cannot follow on what it knows is complained of.
type model struct {
	name   string
	ledger *ledger

	mu                     sync.Mutex
	known                  objects
	versions               map[string]uint64
	adds, updates, deletes int
}

func newModel(name string, ledger *ledger) *model {
	return &model{name: name, ledger: ledger, known: objects{}, versions: map[string]uint64{}}
}

var _ cache.ResourceEventHandler = (*model)(nil)

func (m *model) OnAdd(object any, _ bool) {
	m.take(object, func(known bool) error {
		m.adds++
		if known {
			return fmt.Errorf("was added twice")
		}
		return nil
	})
}

func (m *model) OnUpdate(_, object any) {
	m.take(object, func(known bool) error {
		m.updates++
		if !known {
			return fmt.Errorf("was changed before it was added")
		}
		return nil
	})
}

func (m *model) OnDelete(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	meta, _, err := read(object)
	if err != nil {
		m.complain("", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deletes++
	if _, ok := m.known[key(meta)]; !ok {
		m.complain(key(meta), fmt.Errorf("was deleted without being there"))
	}
	delete(m.known, key(meta))
}

func (m *model) take(object any, judge func(known bool) error) {
	meta, content, err := read(object)
	if err != nil {
		m.complain("", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.known[key(meta)]
	if err := judge(known); err != nil {
		m.complain(key(meta), err)
	}
	now, err := version(meta)
	if err != nil {
		m.complain(key(meta), err)
	}
	if before := m.versions[key(meta)]; now < before {
		m.complain(key(meta), fmt.Errorf("went back from resourceVersion %d to %d", before, now))
	}
	if whole, ok := object.(*unstructured.Unstructured); ok {
		if err := m.ledger.look(whole); err != nil {
			m.complain(key(meta), err)
		}
	}
	m.versions[key(meta)] = now
	m.known[key(meta)] = content
}

func (m *model) complain(key string, err error) {
	m.ledger.complain(fmt.Errorf("%s: %s %w", m.name, key, err))
}

// content is a copy of what is known.
func (m *model) content() objects {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known.where(func(map[string]any) bool { return true })
}

// read is the object as its metadata and as what it is compared by.
func read(object any) (metav1.Object, map[string]any, error) {
	switch object := object.(type) {
	case *unstructured.Unstructured:
		return object, object.Object, nil
	case *metav1.PartialObjectMetadata:
		content, err := normalise(object)
		return object, content, err
	default:
		return nil, nil, fmt.Errorf("was told of a %T", object)
	}
}

// stock is what an indexer or a store holds.
func stock(items []any) (objects, error) {
	held := objects{}
	for _, item := range items {
		meta, content, err := read(item)
		if err != nil {
			return nil, err
		}
		held[key(meta)] = content
	}
	return held, nil
}

// traffic counts a follower's requests, and complains of answers that nobody may get for asking rightly.
type traffic struct {
	name   string
	ledger *ledger

	mu             sync.Mutex
	lists, watches int
	answers        map[int]int
}

func (t *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		t.mu.Lock()
		defer t.mu.Unlock()
		if request.URL.Query().Has("watch") {
			t.watches++
		} else {
			t.lists++
		}
		if err != nil {
			t.answers[0]++
			return response, err
		}
		t.answers[response.StatusCode]++
		switch code := response.StatusCode; {
		case code < 400, code >= 500, code == http.StatusGone, code == http.StatusTooManyRequests:
		default:
			t.ledger.complain(fmt.Errorf("%s: %s to %s", t.name, response.Status, request.URL))
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type metaList = metav1.APIResourceList

// checkControllerRuntime: controller-runtime's client over its lazy REST mapper: reads, pages, selectors, refusals.
func checkControllerRuntime(ctx context.Context, b *bench) error {
	c, err := client.New(b.config, client.Options{Scheme: runtime.NewScheme()})
	if err != nil {
		return err
	}
	tag := &unstructured.Unstructured{}
	tag.SetGroupVersionKind(imageTagKind)
	if err := c.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: "app:latest"}, tag); err != nil {
		return err
	}
	namespaced, err := c.IsObjectNamespaced(tag)
	if err != nil || !namespaced {
		return fmt.Errorf("IsObjectNamespaced: %v %w", namespaced, err)
	}
	absent := tag.DeepCopy()
	err = c.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: "app:none"}, absent)
	if client.IgnoreNotFound(err) != nil || err == nil {
		return fmt.Errorf("get of what is not there: %v", err)
	}
	names := map[string]bool{}
	next := ""
	for {
		page := &unstructured.UnstructuredList{}
		page.SetGroupVersionKind(groupVersion.WithKind("ImageTagList"))
		if err := c.List(ctx, page, client.InNamespace(b.namespace), client.Limit(2), client.Continue(next)); err != nil {
			return err
		}
		for _, item := range page.Items {
			names[item.GetName()] = true
		}
		if next = page.GetContinue(); next == "" {
			break
		}
	}
	direct, err := b.dynamic()
	if err != nil {
		return err
	}
	truth, err := listed(ctx, direct, imageTags, b.namespace, metav1.ListOptions{})
	if err != nil {
		return err
	}
	selected := &metav1.PartialObjectMetadataList{}
	selected.SetGroupVersionKind(groupVersion.WithKind("ImageTagList"))
	if err := c.List(ctx, selected, client.InNamespace(b.namespace), client.MatchingLabels{selectedLabel: "true"}); err != nil {
		return err
	}
	one := &unstructured.UnstructuredList{}
	one.SetGroupVersionKind(groupVersion.WithKind("ImageTagList"))
	if err := c.List(ctx, one, client.InNamespace(b.namespace), client.MatchingFields{"metadata.name": "app:latest"}); err != nil {
		return err
	}
	return errors.Join(
		expect(len(names) == len(truth), "%d names in pages, %d in a list", len(names), len(truth)),
		expect(len(selected.Items) == len(truth.where(isSelected)), "%d are selected, of %d", len(selected.Items), len(truth.where(isSelected))),
		expect(len(one.Items) == 1, "%d are named so", len(one.Items)),
		expect(apierrors.IsMethodNotSupported(c.Delete(ctx, tag)), "delete is not refused as not supported"),
		expect(apierrors.IsMethodNotSupported(c.Update(ctx, tag)), "update is not refused as not supported"),
		expect(apierrors.IsMethodNotSupported(c.Patch(ctx, tag, client.RawPatch("application/merge-patch+json", []byte("{}")))), "patch is not refused as not supported"),
		expect(apierrors.IsMethodNotSupported(c.DeleteAllOf(ctx, tag, client.InNamespace(b.namespace))), "delete of all is not refused as not supported"),
	)
}

// checkCancelledProbes asks as kube-apiserver's availability controller does: five times at once over one connection,
// of which the first answer is taken and the others are cancelled.
func checkCancelledProbes(ctx context.Context, b *bench) error {
	if b.direct == "" {
		return errors.New("needs -direct")
	}
	pair, err := tls.LoadX509KeyPair(b.cert, b.key)
	if err != nil {
		return err
	}
	// Whose certificate it is, other tests ask.
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}
	defer transport.CloseIdleConnections()
	ask := func(ctx context.Context) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.direct+"/apis/"+groupVersion.String(), nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("X-Remote-User", "system:kube-aggregator")
		request.Header.Set("X-Remote-Group", "system:masters")
		return transport.RoundTrip(request)
	}
	const rounds, parallel = 1000, 5
	for round := range rounds {
		ctx, cancel := context.WithCancel(ctx)
		answers := make(chan error, parallel)
		var all sync.WaitGroup
		for range parallel {
			all.Go(func() {
				response, err := ask(ctx)
				if err != nil {
					answers <- err
					return
				}
				if response.StatusCode == http.StatusOK && response.ProtoMajor == 2 {
					answers <- nil
				} else {
					answers <- fmt.Errorf("%s %s", response.Proto, response.Status)
				}
				<-ctx.Done()
				_ = response.Body.Close() // Unread.
			})
		}
		first := <-answers
		cancel()
		all.Wait()
		if first != nil {
			return fmt.Errorf("round %d: %w", round, first)
		}
	}
	response, err := ask(ctx)
	if err != nil {
		return fmt.Errorf("after all of them: %w", err)
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/pager"
)

// checkPager: whatever the size of a page, all pages together are the list, of one moment.
func checkPager(ctx context.Context, b *bench) error {
	client, err := b.dynamic()
	if err != nil {
		return err
	}
	source := client.Resource(imageTags).Namespace(b.namespace)
	whole, err := source.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, size := range []int64{1, 2, 3, 7, 50, 500, int64(len(whole.Items)), int64(len(whole.Items)) - 1, int64(len(whole.Items)) + 1} {
		var pages []int
		moments := map[string]bool{}
		p := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := source.List(ctx, options)
			if err != nil {
				return nil, err
			}
			pages = append(pages, len(list.Items))
			moments[list.GetResourceVersion()] = true
			if remaining := list.GetRemainingItemCount(); remaining != nil {
				done := 0
				for _, page := range pages {
					done += page
				}
				if int(*remaining) != len(whole.Items)-done {
					return nil, fmt.Errorf("after %v pages %d remain of %d", pages, *remaining, len(whole.Items))
				}
			}
			return list, nil
		})
		p.PageSize = size
		p.FullListIfExpired = false
		var items []unstructured.Unstructured
		if err := p.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
			items = append(items, *object.(*unstructured.Unstructured))
			return nil
		}); err != nil {
			return fmt.Errorf("pages of %d: %w", size, err)
		}
		wanted := (int64(len(whole.Items)) + size - 1) / size
		if err := errors.Join(
			expect(reflect.DeepEqual(items, whole.Items), "pages of %d hold %d objects, the list %d, or others", size, len(items), len(whole.Items)),
			expect(int64(len(pages)) == wanted, "pages of %d: %v", size, pages),
			expect(len(moments) == 1, "pages of %d are of several moments: %v", size, moments),
		); err != nil {
			return err
		}
	}
	return nil
}

// checkExpiredPage: a page of a moment that is forgotten says so, and how to go on without it.
func checkExpiredPage(ctx context.Context, b *bench) error {
	client, err := b.dynamic()
	if err != nil {
		return err
	}
	source := client.Resource(imageTags).Namespace(b.namespace)
	whole, err := source.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	first, err := source.List(ctx, metav1.ListOptions{Limit: 2})
	if err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(first.GetContinue())
	if err != nil {
		return err
	}
	var token map[string]any
	if err := json.Unmarshal(text, &token); err != nil {
		return err
	}
	token["rv"] = 1
	if text, err = json.Marshal(token); err != nil {
		return err
	}
	old := base64.RawURLEncoding.EncodeToString(text)
	_, err = source.List(ctx, metav1.ListOptions{Limit: 2, Continue: old})
	if !apierrors.IsResourceExpired(err) {
		return fmt.Errorf("an old page is answered %v", err)
	}
	status := err.(apierrors.APIStatus).Status()
	if status.ListMeta.Continue == "" {
		return fmt.Errorf("no way on: %+v", status)
	}
	rest, err := source.List(ctx, metav1.ListOptions{Continue: status.ListMeta.Continue})
	if err != nil {
		return fmt.Errorf("going on: %w", err)
	}
	if !reflect.DeepEqual(rest.Items, whole.Items[2:]) {
		return fmt.Errorf("%d objects after the first two of %d", len(rest.Items), len(whole.Items))
	}
	// The pager does by itself what is right: it begins anew with a full list.
	spoiled := false
	p := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		if options.Continue != "" && !spoiled {
			spoiled = true
			options.Continue = old
		}
		return source.List(ctx, options)
	})
	p.PageSize = 2
	list, _, err := p.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("the pager, after an expired page: %w", err)
	}
	var names []string
	if err := runtimeEach(list, func(object metav1.Object) { names = append(names, object.GetName()) }); err != nil {
		return err
	}
	return expect(len(names) == len(whole.Items), "the pager found %d of %d", len(names), len(whole.Items))
}

func runtimeEach(list runtime.Object, visit func(metav1.Object)) error {
	switch list := list.(type) {
	case *unstructured.UnstructuredList:
		for i := range list.Items {
			visit(&list.Items[i])
		}
		return nil
	case *metav1.List:
		for i := range list.Items {
			object, ok := list.Items[i].Object.(metav1.Object)
			if !ok {
				return fmt.Errorf("the list holds a %T", list.Items[i].Object)
			}
			visit(object)
		}
		return nil
	default:
		// The pager puts pages together in a list of its own.
		value := reflect.Indirect(reflect.ValueOf(list)).FieldByName("Items")
		for i := range value.Len() {
			object, ok := value.Index(i).Interface().(metav1.Object)
			if !ok {
				return fmt.Errorf("the list of type %T holds a %T", list, value.Index(i).Interface())
			}
			visit(object)
		}
		return nil
	}
}

// checkMetadata: who asks for metadata, in protobuf if possible, gets it as JSON.
func checkMetadata(ctx context.Context, b *bench) error {
	config, notes := b.overheard()
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	source := client.Resource(imageTags).Namespace(b.namespace)
	list, err := source.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	full, err := b.dynamic()
	if err != nil {
		return err
	}
	truth, err := listed(ctx, full, imageTags, b.namespace, metav1.ListOptions{})
	if err != nil {
		return err
	}
	wanted, err := truth.metadata()
	if err != nil {
		return err
	}
	known := objects{}
	for i := range list.Items {
		content, err := normalise(&list.Items[i])
		if err != nil {
			return err
		}
		known[key(&list.Items[i])] = content
	}
	if err := differences(known, wanted); err != nil {
		return err
	}
	one, err := source.Get(ctx, list.Items[0].Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	watcher, err := source.Watch(ctx, metav1.ListOptions{SendInitialEvents: new(true), AllowWatchBookmarks: true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	seen := objects{}
	for event := range watcher.ResultChan() {
		partial, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("%s with a %T", event.Type, event.Object)
		}
		if partial.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
			break
		}
		if seen[key(partial)], err = normalise(partial); err != nil {
			return err
		}
	}
	problems := []error{
		expect(one.UID == list.Items[0].UID, "got %+v", one),
		differences(seen, wanted),
	}
	for _, note := range notes.all() {
		problems = append(problems,
			expect(strings.HasPrefix(note.accept, "application/vnd.kubernetes.protobuf"), "protobuf was not asked for first: %s", note.accept),
			expect(strings.HasPrefix(note.contentType, "application/json"), "%s is answered as %s", note.uri, note.contentType))
	}
	return errors.Join(problems...)
}

// checkTable: the answers that kubectl prints, read with the types of meta.k8s.io/v1.
func checkTable(ctx context.Context, b *bench) error {
	config, notes := b.overheard()
	config.AcceptContentTypes = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	client, err := typed(config)
	if err != nil {
		return err
	}
	table := &metav1.Table{}
	request := client.Get().Namespace(b.namespace).Resource("imagetags").Param("includeObject", "Object")
	if err := request.Do(ctx).Into(table); err != nil {
		return err
	}
	full, err := b.dynamic()
	if err != nil {
		return err
	}
	truth, err := listed(ctx, full, imageTags, b.namespace, metav1.ListOptions{})
	if err != nil {
		return err
	}
	known := objects{}
	var problems []error
	for _, row := range table.Rows {
		problems = append(problems, expect(len(row.Cells) == len(table.ColumnDefinitions), "%d cells under %d columns", len(row.Cells), len(table.ColumnDefinitions)))
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(row.Object.Raw); err != nil {
			return err
		}
		known.put(object)
		problems = append(problems, expect(slices.Contains(row.Cells, any(object.GetName())), "no cell of %v is the name", row.Cells))
	}
	for _, note := range notes.all() {
		problems = append(problems, expect(note.contentType == "application/json", "a Table is answered as %s", note.contentType))
	}
	return errors.Join(append(problems, differences(known, truth))...)
}

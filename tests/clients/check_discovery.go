package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/restmapper"
)

// checkDiscovery: the memory cache and the REST mapper of client-go find the kinds by every name they have, without a
// group that is stale, in the aggregated form and in the old one.
func checkDiscovery(_ context.Context, b *bench) error {
	client, err := discovery.NewDiscoveryClientForConfig(b.config)
	if err != nil {
		return err
	}
	legacy, err := discovery.NewDiscoveryClientForConfig(b.config)
	if err != nil {
		return err
	}
	legacy.UseLegacyDiscovery = true
	for form, client := range map[string]discovery.DiscoveryInterface{"aggregated": client, "legacy": legacy} {
		if err := discovered(memory.NewMemCacheClient(client)); err != nil {
			return fmt.Errorf("%s: %w", form, err)
		}
	}
	return nil
}

func discovered(cached discovery.CachedDiscoveryInterface) error {
	groups, resources, err := cached.ServerGroupsAndResources()
	if err != nil {
		return fmt.Errorf("ServerGroupsAndResources: %w", err)
	}
	if !slices.ContainsFunc(resources, func(list *metaList) bool { return list.GroupVersion == groupVersion.String() }) {
		return fmt.Errorf("%s is not among the resources", groupVersion)
	}
	for _, group := range groups {
		if group.Name == groupVersion.Group && group.PreferredVersion.Version != groupVersion.Version {
			return fmt.Errorf("preferred version %s", group.PreferredVersion.Version)
		}
	}
	if _, err := cached.ServerPreferredNamespacedResources(); err != nil {
		return fmt.Errorf("ServerPreferredNamespacedResources: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	var warnings []string
	expander := restmapper.NewShortcutExpander(mapper, cached, func(warning string) { warnings = append(warnings, warning) })
	for name, wanted := range map[string]string{
		"imagetags": "ImageTag", "imagetag": "ImageTag", "imgtag": "ImageTag",
		"tagsets": "TagSet", "tagset": "TagSet", "tset": "TagSet",
	} {
		for _, group := range []string{"", groupVersion.Group} {
			kind, err := expander.KindFor(schema.GroupVersionResource{Group: group, Resource: name})
			if err != nil {
				return fmt.Errorf("KindFor %q %q: %w", group, name, err)
			}
			if kind != groupVersion.WithKind(wanted) {
				return fmt.Errorf("%q %q is %s", group, name, kind)
			}
		}
	}
	for _, kind := range []string{"ImageTag", "TagSet"} {
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: groupVersion.Group, Kind: kind}, groupVersion.Version)
		if err != nil {
			return fmt.Errorf("RESTMapping %s: %w", kind, err)
		}
		if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			return fmt.Errorf("%s has scope %s", kind, mapping.Scope.Name())
		}
	}
	_, err = mapper.RESTMapping(schema.GroupKind{Group: groupVersion.Group, Kind: "Nothing"})
	list, errOfList := cached.ServerResourcesForGroupVersion(groupVersion.String())
	if errOfList != nil {
		return errOfList
	}
	verbs := map[string]string{}
	for _, resource := range list.APIResources {
		verbs[resource.Name] = strings.Join(resource.Verbs, ",")
		if resource.SingularName == "" || !resource.Namespaced {
			return fmt.Errorf("%+v", resource)
		}
	}
	cached.Invalidate()
	_, errAfter := cached.ServerResourcesForGroupVersion(groupVersion.String())
	// No category holds them: `kubectl get all` is for what somebody made.
	inAll, _ := restmapper.NewDiscoveryCategoryExpander(cached).Expand("all")
	return errors.Join(
		expect(meta.IsNoMatchError(err), "an unknown kind: %v", err),
		expect(verbs["imagetags"] == "get,list,watch" && verbs["tagsets"] == "get,list,watch", "verbs %v", verbs),
		expect(len(warnings) == 0, "warnings: %v", warnings),
		expect(!slices.ContainsFunc(inAll, func(r schema.GroupResource) bool { return r.Group == groupVersion.Group }), "in category all: %v", inAll),
		errAfter,
	)
}

// checkOpenAPI: client-go's parsers of both documents, and protobuf of the cluster's merged one.
func checkOpenAPI(_ context.Context, b *bench) error {
	client, err := discovery.NewDiscoveryClientForConfig(b.config)
	if err != nil {
		return err
	}
	root := openapi3.NewRoot(client.OpenAPIV3())
	known, err := root.GroupVersions()
	if err != nil {
		return err
	}
	if !slices.Contains(known, groupVersion) {
		return fmt.Errorf("%s is not among %v", groupVersion, known)
	}
	spec, err := root.GVSpec(groupVersion)
	if err != nil {
		return err
	}
	const path = "/apis/tags.tagscope.dev/v1alpha1/namespaces/{namespace}/imagetags"
	if spec.Paths == nil || spec.Paths.Paths[path] == nil || spec.Paths.Paths[path].Get == nil {
		return fmt.Errorf("no operation at %s", path)
	}
	if spec.Components == nil || spec.Components.Schemas["dev.tagscope.tags.v1alpha1.ImageTag"] == nil {
		return errors.New("no schema of ImageTag")
	}
	merged, err := client.OpenAPISchema()
	if err != nil {
		return fmt.Errorf("the merged document: %w", err)
	}
	for _, definition := range merged.GetDefinitions().GetAdditionalProperties() {
		if definition.GetName() == "dev.tagscope.tags.v1alpha1.ImageTag" {
			return nil
		}
	}
	return errors.New("the merged document has no ImageTag")
}

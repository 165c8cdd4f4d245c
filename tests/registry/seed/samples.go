package main

import (
	"fmt"
	"strings"
)

// sample is a repository as real teams keep one.
type sample struct {
	repository string
	tags       []string
	multiArch  bool
	// signed are those of its tags that have a cosign signature next to them.
	signed []string
}

// samples are what `examples/` scans.
var samples = []sample{
	{
		// Plain semver, release candidates, moving tags, an index of two platforms each, signatures.
		repository: "podinfo",
		tags: strings.Fields(`6.0.0 6.0.1 6.1.0 6.1.1 6.2.0 6.2.1 6.3.0 6.4.0 6.5.0-rc.1 6.5.0 6.5.1 6.5.2
			6.6.0-rc.1 6.6.0-rc.2 6.6.0 6.6.1 7.0.0-beta.1 6 6.6 latest`),
		multiArch: true,
		signed:    []string{"6.6.0", "6.6.1"},
	},
	{
		// Semver with a leading v, and builds of one version told apart by metadata after a dash.
		repository: "shop/checkout",
		tags: strings.Fields(`v1.0.0 v1.0.1 v1.1.0 v1.2.0 v1.2.1 v1.2.2 v1.3.0-rc.1 v1.3.0 v1.9.0 v1.10.0 v1.10.1
			v2.0.0-alpha.1 v2.0.0-alpha.2 edge`),
	},
	{
		// One tag per build of a branch: BRANCH-SHA-TIMESTAMP.
		repository: "shop/web",
		tags: strings.Fields(`main-1f3c2aa-1718435261 main-9be04d7-1718521677 main-c07d5e1-1718608103
			main-4a91b3f-1718694519 main-e82f60c-1719385938 feature-cart-0d4e8b2-1719472354
			feature-cart-77aa1c9-1719558770 hotfix-5e0c9d3-1719299522`),
	},
	{
		// Calendar versions.
		repository: "data/etl",
		tags: strings.Fields(`2023.11.30 2023.12.15 2024.01.09 2024.02.13 2024.03.12 2024.04.09 2024.05.14 2024.06.11
			2024.06.11-1 2024.06.18 nightly`),
	},
}

func seedSamples(r *registry) error {
	for _, sample := range samples {
		digests := map[string]string{}
		for _, tag := range sample.tags {
			var err error
			if sample.multiArch {
				digests[tag], err = r.pushIndex(sample.repository, tag)
			} else {
				digests[tag], err = r.pushImage(sample.repository, tag, image(sample.repository, tag, "amd64"))
			}
			if err != nil {
				return fmt.Errorf("push %s:%s: %w", sample.repository, tag, err)
			}
		}
		for _, tag := range sample.signed {
			digest := digests[tag]
			reference := strings.Replace(digest, ":", "-", 1) + ".sig"
			if _, err := r.pushImage(sample.repository, reference, signature(sample.repository, digest)); err != nil {
				return fmt.Errorf("sign %s:%s: %w", sample.repository, tag, err)
			}
		}
		fmt.Printf("%s: %d tags, %d signatures\n", sample.repository, len(sample.tags), len(sample.signed))
	}
	return nil
}

package proxy_test

import (
	"fmt"
	"net/url"

	"github.com/rondo-ci/rondo/proxy"
)

func ExampleParse() {
	s, err := proxy.Parse("http://10.0.0.33:3128", "", "ghe.example.com,10.0.1.0/24")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"https://github.com/", "https://ghe.example.com/", "http://169.254.169.254/"} {
		u, err := url.Parse(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		p, rule := s.For(u)
		fmt.Printf("%s proxy=%q directly by %q\n", text, p, rule)
	}
	_, err = proxy.Parse("10.0.0.33:3128", "", "")
	fmt.Println(err)
	// Output:
	// https://github.com/ proxy="http://10.0.0.33:3128" directly by ""
	// https://ghe.example.com/ proxy="" directly by "ghe.example.com"
	// http://169.254.169.254/ proxy="" directly by "169.254.169.254"
	// invalid: proxy "10.0.0.33:3128": the protocol is missing: write http://10.0.0.33:3128
}

func ExampleSettings_Render() {
	s, err := proxy.Parse("http://10.0.0.33:3128", "", "10.0.1.0/24")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := s.Render(proxy.AptConf)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Path)
	for _, l := range r.Lost {
		fmt.Println(l)
	}
	// Output:
	// /etc/apt/apt.conf.d/95proxy
	// 10.0.1.0/24: apt knows single hosts only, without what is below them; name each mirror that is reached directly
}

func ExampleTool_Verdict() {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"https_proxy": "http://10.0.0.33:3128", "no_proxy": "*.s3.amazonaws.com"}[name]
		return v, ok
	}
	u, err := url.Parse("https://bucket.s3.amazonaws.com/")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range []proxy.Tool{proxy.Curl, proxy.Go} {
		fmt.Printf("%s: %q\n", t, t.Verdict(env, u).Proxy)
	}
	// Output:
	// curl: "http://10.0.0.33:3128"
	// go: ""
}

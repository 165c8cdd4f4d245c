package main

import (
	"fmt"
	"net"
	"strconv"
)

// freePorts asks the kernel for n different free ports on loopback. Somebody else may take one before it
// is used: whoever uses it must be ready to try again.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // Held until all are chosen, so that they differ.
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func isFree(address string) bool {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

func printPorts(wished []string) error {
	others, err := freePorts(len(wished))
	if err != nil {
		return err
	}
	for i, port := range wished {
		if !isFree(net.JoinHostPort("127.0.0.1", port)) {
			port = strconv.Itoa(others[i])
		}
		fmt.Println(port)
	}
	return nil
}

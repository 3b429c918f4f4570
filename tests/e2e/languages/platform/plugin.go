package main

import (
	crypto "crypto/rand"
	"fmt"
	"math/rand"
	randv2 "math/rand/v2"
	"os"
	"time"

	pointsman "github.com/pointsman/pointsman/sdk/go"
)

type Config struct{}

func init() { pointsman.Export(configure) }

func main() {}

func configure(Config) (pointsman.Router, error) {
	return pointsman.Router{Route: route, Cacheable: true}, nil
}

func route(request *pointsman.Request) (pointsman.Decision, error) {
	var body any = ""
	var octets [3]byte
	switch request.Path() {
	case "/print":
		fmt.Println("printed")
	case "/open":
		if _, err := os.Open("/etc/passwd"); err != nil {
			body = "none"
		}
	case "/clock":
		body = time.Now().Unix()
	case "/random":
		body = rand.Int63()
	case "/v2":
		body = randv2.Uint64()
	case "/below":
		body = randv2.IntN(1 << 60)
	case "/octets":
		// The next request must not get the unused part of this request's random number.
		rand.Read(octets[:])
		body = octets
	case "/crypto":
		crypto.Read(octets[:])
		body = octets
	}
	return pointsman.Respond(pointsman.Response{Status: 200, Body: fmt.Sprint(body)}), nil
}

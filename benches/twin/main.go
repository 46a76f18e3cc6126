// The twin: a small Go server that makes the same Kubernetes calls as the broker's accept path, for `cargo xtask load`
// to measure the broker against. It decodes what it reads and answers in the same form. It is kinder to itself than the
// broker is: no authentication, limits, validation or comparison of live objects.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	group        = "/apis/broker.platform.company.com/v1alpha1"
	maxBody      = 256 * 1024
	timeout      = 10 * time.Second
	readsAtOnce  = 8
	nameLabelKey = "app.kubernetes.io/instance"
	// The broker's memory of what was removed for good.
	tombstones = "kidp-broker-tombstones"
)

type object = map[string]any

// server makes the calls.
type server struct {
	client *rest.RESTClient
	// What the broker reads of one instance, as paths with queries.
	reads []string
	// The selector by which the broker finds the records of a name.
	selector string
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	kubeconfig := flag.String("kubeconfig", "", "cluster")
	reads := flag.String("reads", "", "file with a JSON list of paths that are read for each instance")
	selector := flag.String("selector", nameLabelKey, "label of a record that holds the name of its resource")
	flag.Parse()
	server, err := connect(*kubeconfig, *reads, *selector)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /health", server.health)
	http.HandleFunc("GET /v1/resources", server.resources)
	http.HandleFunc("POST /v1/provision", server.provision)
	log.Fatal((&http.Server{Addr: *listen, ReadHeaderTimeout: timeout}).ListenAndServe())
}

func connect(kubeconfig, reads, selector string) (*server, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// No rate limit on this side either.
	config.QPS = -1
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.APIPath = "/api"
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(reads)
	if err != nil {
		return nil, err
	}
	result := &server{client: client, selector: selector}
	return result, json.Unmarshal(text, &result.reads)
}

func (s *server) get(ctx context.Context, path string) (object, error) {
	address, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	request := s.client.Get().AbsPath(address.Path)
	for name, values := range address.Query() {
		for _, value := range values {
			request = request.Param(name, value)
		}
	}
	body, err := request.DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var found object
	return found, json.Unmarshal(body, &found)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, object{"status": "ok"})
}

// resources lists the records of a namespace and reads the objects of each.
func (s *server) resources(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	namespace := r.URL.Query().Get("namespace")
	records, err := s.get(ctx, group+"/namespaces/"+namespace+"/serviceinstances")
	if err != nil {
		refuse(w, err)
		return
	}
	items, _ := records["items"].([]any)
	views := make([]object, len(items))
	for at, item := range items {
		live := make([]object, len(s.reads))
		all, ctx := errgroup.WithContext(ctx)
		all.SetLimit(readsAtOnce)
		for n, path := range s.reads {
			all.Go(func() (err error) { live[n], err = s.get(ctx, path); return })
		}
		if err := all.Wait(); err != nil {
			refuse(w, err)
			return
		}
		views[at] = object{"record": item, "actualSpec": live}
	}
	answer(w, http.StatusOK, object{"resources": views, "total": len(views), "namespace": namespace})
}

// provision answers a repeated request with the broker's calls: the records of the name, what was removed for good, an
// attempt to create the record, which is refused since there is one, and the record itself, to compare it.
func (s *server) provision(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	var wanted object
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&wanted); err != nil {
		answer(w, http.StatusBadRequest, object{"message": err.Error()})
		return
	}
	namespace, _ := wanted["namespace"].(string)
	name, _ := wanted["resourceName"].(string)
	query := url.Values{"labelSelector": {s.selector + "=" + name}}
	records, err := s.get(ctx, group+"/namespaces/"+namespace+"/serviceinstances?"+query.Encode())
	if err != nil {
		refuse(w, err)
		return
	}
	if _, err := s.get(ctx, "/api/v1/namespaces/"+namespace+"/configmaps/"+tombstones); err != nil && !apierrors.IsNotFound(err) {
		refuse(w, err)
		return
	}
	items, _ := records["items"].([]any)
	for _, item := range items {
		record, _ := item.(object)
		held, err := s.create(ctx, namespace, record)
		if err != nil {
			refuse(w, err)
			return
		}
		spec, _ := held["spec"].(object)
		if spec["resourceUid"] == wanted["resourceUid"] && covers(spec["instance"], wanted["spec"]) {
			message := "this request is known already"
			answer(w, http.StatusAccepted, object{"status": "accepted", "deploymentId": spec["deploymentId"], "message": message})
			return
		}
	}
	refuse(w, errors.New("no such record"))
}

// create tries to create a record that is there, and gives the one that is.
func (s *server) create(ctx context.Context, namespace string, record object) (object, error) {
	metadata, _ := record["metadata"].(object)
	name, _ := metadata["name"].(string)
	fresh, err := json.Marshal(object{
		"apiVersion": "broker.platform.company.com/v1alpha1", "kind": "ServiceInstance", "spec": record["spec"],
		"metadata": object{"name": name, "namespace": namespace, "labels": metadata["labels"]},
	})
	if err != nil {
		return nil, err
	}
	path := group + "/namespaces/" + namespace + "/serviceinstances"
	request := s.client.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(fresh)
	if _, err := request.DoRaw(ctx); !apierrors.IsAlreadyExists(err) {
		return nil, errors.New("the record was not there")
	}
	return s.get(ctx, path+"/"+name)
}

// covers says whether every field that was asked for is as it was asked for.
func covers(held, wanted any) bool {
	want, ok := wanted.(object)
	if !ok {
		return reflect.DeepEqual(held, wanted)
	}
	have, _ := held.(object)
	for name, value := range want {
		if !covers(have[name], value) {
			return false
		}
	}
	return true
}

func refuse(w http.ResponseWriter, err error) {
	answer(w, http.StatusInternalServerError, object{"message": err.Error()})
}

func answer(w http.ResponseWriter, status int, body object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

// A Terraform provider that knows Google's schema and nothing else: it lets `terraform validate` and `terraform test` (with
// mock_provider) check our modules where the real provider cannot be had. The schema comes from extract.py.
//
// It refuses to plan, read or change anything, so that it can never be taken for the real one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type     json.RawMessage
	Required bool
	Optional bool
	Computed bool
}

type nested struct {
	Nesting string
	Min     int64
	Max     int64
	Block   block
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nested
}

type schemas struct {
	Provider  block
	Resources map[string]block
	Data      map[string]block
}

// The embedded interface is nil: a call that is not answered below ends the program.
type server struct {
	tfprotov5.ProviderServer
	schemas schemas
}

func typeOf(raw json.RawMessage) tftypes.Type {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		switch name {
		case "bool":
			return tftypes.Bool
		case "number":
			return tftypes.Number
		}
		return tftypes.String
	}
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		panic("a type that is neither a name nor a pair: " + string(raw))
	}
	_ = json.Unmarshal(pair[0], &name)
	if name == "object" {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(pair[1], &fields)
		types := map[string]tftypes.Type{}
		for field, of := range fields {
			types[field] = typeOf(of)
		}
		return tftypes.Object{AttributeTypes: types}
	}
	inner := typeOf(pair[1])
	switch name {
	case "set":
		return tftypes.Set{ElementType: inner}
	case "map":
		return tftypes.Map{ElementType: inner}
	}
	return tftypes.List{ElementType: inner}
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

func sorted[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (b block) proto() *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for _, name := range sorted(b.Attributes) {
		a := b.Attributes[name]
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typeOf(a.Type), Required: a.Required, Optional: a.Optional, Computed: a.Computed,
			// The provider names its write-only arguments so.
			WriteOnly: strings.HasSuffix(name, "_wo"),
		})
	}
	for _, name := range sorted(b.Blocks) {
		n := b.Blocks[name]
		out.BlockTypes = append(out.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Nesting: nestings[n.Nesting], MinItems: n.Min, MaxItems: n.Max, Block: n.Block.proto(),
		})
	}
	return out
}

func protos(of map[string]block) map[string]*tfprotov5.Schema {
	out := map[string]*tfprotov5.Schema{}
	for name, b := range of {
		out[name] = &tfprotov5.Schema{Block: b.proto()}
	}
	return out
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	out := &tfprotov5.GetMetadataResponse{ServerCapabilities: &tfprotov5.ServerCapabilities{}}
	for _, name := range sorted(s.schemas.Resources) {
		out.Resources = append(out.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for _, name := range sorted(s.schemas.Data) {
		out.DataSources = append(out.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return out, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &tfprotov5.GetProviderSchemaResponse{
		ServerCapabilities: &tfprotov5.ServerCapabilities{},
		Provider:           &tfprotov5.Schema{Block: s.schemas.Provider.proto()},
		ResourceSchemas:    protos(s.schemas.Resources),
		DataSourceSchemas:  protos(s.schemas.Data),
	}, nil
}

func (s *server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (s *server) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{Diagnostics: []*tfprotov5.Diagnostic{{
		Severity: tfprotov5.DiagnosticSeverityError,
		Summary:  "This is no Google provider, only its schema",
		Detail:   "It serves checks without the clouds. Remove the CLI configuration of terraform/check to use the real provider.",
	}}}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func main() {
	program, err := os.Executable()
	var text []byte
	if err == nil {
		text, err = os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	}
	s := &server{}
	if err == nil {
		err = json.Unmarshal(text, &s.schemas)
	}
	if err == nil {
		err = tf5server.Serve("hashicorp/google", func() tfprotov5.ProviderServer { return s })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

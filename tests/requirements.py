"""The founding requirements that are met today, each with the tests that prove it.

`status` is "met" or "met otherwise": by another technology than the founding document names, for the reason in the decision
record. What is not listed is not met yet. `test_requirements.py` refuses an entry without an existing test, and an entry
"met otherwise" without an existing record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

G = "tests/gateway"
MODERN = f"{G}/test_modern.py"
LEGACY = f"{G}/test_legacy.py"
LINES = f"{G}/test_conversations.py"
ACCESS = f"{G}/test_access.py"
PROCESS = f"{G}/test_process.py"
BOUNDS = f"{G}/test_bounds.py"
RELAY = f"{G}/test_relay.py"
HTTP_CLIENT = "tests/unit/net/test_http_client.py"
STDIO_UP = f"{G}/upstream/test_mcp_stdio.py"
HTTP_UP = f"{G}/upstream/test_http_modern.py"
SESSIONS_UP = f"{G}/upstream/test_peer_sessions.py"
LEGACY_UP = f"{G}/upstream/test_http_legacy.py"
E2E = "tests/e2e/test_real_clients.py"
OPERATE = f"{G}/test_operate.py"
LIMITS = f"{G}/test_session_limits.py"
UPSTREAM_CLI = "tests/unit/cli/test_upstream_edit.py"
WITH_A_GATEWAY = "tests/unit/cli/test_with_a_gateway.py"
SETTINGS = "tests/unit/feed/test_settings.py"
CONFIGURATION = "tests/unit/feed/test_configuration.py"
LOGINS = "tests/control/test_logins.py"
PEOPLE = "tests/control/test_people.py"
ROLES = "tests/control/test_access.py"
TOKENS = "tests/unit/policy/test_tokens.py"
AUTHORIZE = "tests/unit/policy/test_authorize.py"
DISCOVERY = "tests/control/test_discovery.py"
FOUNDING = "tests/control/test_founding_paths.py"
FOUNDING_GATEWAY = "tests/gateway/test_founding_paths.py"
EMBEDDED = "tests/embedded/test_embedded.py"
AGENTS = "tests/embedded/test_agents.py"
UPSTREAMS = "tests/control/test_upstreams.py"
TOOLS = "tests/control/test_tools.py"
CONFORMANCE = "tests/conformance/test_conformance.py"
SDK = "tests/unit/sdk/test_client.py"
SDK_MADE = "tests/unit/sdk/test_generated.py"
SDK_WHOLE = "tests/control/test_sdk.py"
OPERATIONS_CLI = "tests/unit/cli/test_operations.py"
MANAGING = "tests/e2e/test_command_line.py"
SERVERS = "tests/control/test_servers.py"
KEYS = "tests/control/test_keys.py"
SWITCHES = "tests/control/test_settings.py"
FILES = "tests/control/test_files.py"
BASE = "tests/control/test_base.py"
PUBLISHER = "tests/control/test_publisher.py"
BACKUP = "tests/control/test_backup.py"
DOCUMENTS = "tests/control/test_documents.py"
DATABASE_CLI = "tests/unit/cli/test_database.py"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a founding document: its id, what it wants, and what proves it."""

    id: str
    wants: str
    tests: tuple[str, ...]
    status: Literal["met", "met otherwise"] = "met"
    decision: str | None = None


def met(requirement_id: str, wants: str, *tests: str) -> Requirement:
    return Requirement(requirement_id, wants, tests)


def otherwise(requirement_id: str, wants: str, decision: str, *tests: str) -> Requirement:
    return Requirement(requirement_id, wants, tests, "met otherwise", decision)


OWN_SERVER = "docs/decisions/0001-own-http-server.md"
NO_FRAMEWORK = "docs/decisions/0002-no-web-framework-on-the-data-path.md"
NO_MODES = "docs/decisions/0013-no-modes.md"
OWN_PROTOCOL = "docs/decisions/0003-own-protocol-layer.md"

REQUIREMENTS: tuple[Requirement, ...] = (
    # Gateway: one address, many servers
    met("S3-1", "Unified aggregation of MCP services and their management", f"{MODERN}::test_two_servers_offer_different_tools_under_their_own_urls", f"{E2E}::test_a_real_client_calls_tools_of_five_real_servers_behind_one_url"),
    met("S3-4", "MCP over STDIO", f"{STDIO_UP}::test_the_era_is_found_out_and_definitions_are_observed", f"{LINES}::test_a_legacy_client_initializes_lists_calls_and_is_asked"),
    met("S3-5", "MCP over HTTP", f"{MODERN}::test_a_tool_is_listed_and_called", f"{HTTP_UP}::test_errors_of_the_upstream_are_relayed_with_code_message_and_data"),
    met("S3-6", "MCP over WebSocket", f"{LINES}::test_a_websocket_key_travels_in_the_subprotocol_list_or_the_header_and_never_in_the_query", f"{G}/upstream/test_mcp_websocket.py::test_definitions_and_calls_travel_in_either_era_with_the_declared_headers"),
    met("S3-41", "WebSocket /ws/mcp speaking JSON-RPC 2.0", f"{LINES}::test_a_legacy_client_initializes_lists_calls_and_is_asked"),
    met("S3-59", "Unified service: aggregate several MCP services", f"{MODERN}::test_two_servers_offer_different_tools_under_their_own_urls"),
    met("S3-60", "Proxy service: conversion between protocols and routing", f"{LEGACY}::test_every_older_revision_is_negotiated_and_served", f"{CONFORMANCE}::test_the_gateway_passes_every_set_whatever_its_upstream_speaks", "tests/matrix/test_matrix.py::test_a_message_becomes_what_it_should"),
    met("S2-25", "Many logical servers in one process on one fixed port", f"{MODERN}::test_two_servers_offer_different_tools_under_their_own_urls"),
    met("S2-26", "Routing by server code to groups of tools", f"{MODERN}::test_two_servers_offer_different_tools_under_their_own_urls"),
    met("S2-27", "Each group has its own API key", f"{ACCESS}::test_a_key_of_the_server_opens_it", f"{PROCESS}::test_a_key_works_once_created_and_no_more_once_revoked"),
    met("S2-28", "Tool set returned according to server code", f"{MODERN}::test_two_servers_offer_different_tools_under_their_own_urls", f"{ACCESS}::test_a_key_at_another_server_sees_what_it_would_see_at_none"),
    met("S2-29", "One process, same port, unified monitoring and logs", f"{PROCESS}::test_sigterm_lets_running_calls_end_and_then_the_process_ends_with_zero"),
    met("S2-7", "HTTP/JSON-RPC as main transport", f"{MODERN}::test_a_tool_is_listed_and_called"),
    met("S2-8", "SSE long connections compatible", f"{LINES}::test_an_sse_stream_takes_messages_only_of_the_principal_that_opened_it"),
    met("S0-14", "Proxy service: request forwarding", f"{MODERN}::test_a_tool_is_listed_and_called", f"{RELAY}::test_a_request_and_its_answer_arrive_as_they_were_made", f"{RELAY}::test_a_large_body_flows_through_and_is_held_nowhere"),
    met("S0-15", "Proxy service: response handling", f"{MODERN}::test_progress_arrives_on_the_stream_with_the_callers_own_token", f"{RELAY}::test_events_arrive_as_they_are_sent_and_end_whole_when_the_gateway_drains", f"{RELAY}::test_a_large_answer_waits_for_a_slow_reader"),
    met("S0-16", "Proxy service: error handling", f"{HTTP_UP}::test_errors_of_the_upstream_are_relayed_with_code_message_and_data", f"{RELAY}::test_a_control_plane_that_is_away_is_a_503_to_try_again", f"{RELAY}::test_an_answer_that_breaks_off_does_not_look_whole"),
    met("S0-28", "MCP tool calls and streaming responses", f"{MODERN}::test_progress_arrives_on_the_stream_with_the_callers_own_token"),
    met("S0-72", "Standard MCP protocol", f"{CONFORMANCE}::test_the_gateway_passes_every_set_whatever_its_upstream_speaks"),
    met("S0-96", "WebSocket support", f"{LINES}::test_a_websocket_key_travels_in_the_subprotocol_list_or_the_header_and_never_in_the_query"),
    met("S1-15", "Managed servers of any kind", f"{E2E}::test_a_real_client_calls_tools_of_five_real_servers_behind_one_url"),
    # Technology met otherwise
    otherwise("S0-24", "FastAPI, async", NO_FRAMEWORK, f"{MODERN}::test_a_tool_is_listed_and_called"),
    otherwise("S0-25", "Uvicorn ASGI server", OWN_SERVER, f"{G}/test_wire.py::test_a_thousand_pipelined_requests_are_answered_in_order"),
    otherwise("S2-5", "Own MCP service architecture on FastAPI, following the open standard", NO_FRAMEWORK, f"{CONFORMANCE}::test_the_gateway_passes_every_set_whatever_its_upstream_speaks"),
    otherwise("S1-10", "FastMCP adapter (protocol adapter layer)", OWN_PROTOCOL, f"{LEGACY}::test_every_older_revision_is_negotiated_and_served"),
    # Sessions and identity of servers
    met("S2-151", "Server disabled is said as such", f"{ACCESS}::test_a_disabled_server_and_a_disabled_tool_say_so_to_who_may_know"),
    met("S2-152", "Tool not in the server is said as such", f"{G}/test_grants.py::test_a_server_says_exactly_why_a_tool_cannot_be_called_to_its_own_keys_alone"),
    met("S2-153", "Tool disabled is said as such", f"{G}/test_grants.py::test_a_server_says_exactly_why_a_tool_cannot_be_called_to_its_own_keys_alone"),
    met("S3-36", "POST /api/v1/tools/call", f"{G}/test_execution.py::test_a_tool_is_called_by_somebody_who_is_logged_in"),
    met("S3-39", "POST /api/v1/mcp/proxy", f"{G}/test_execution.py::test_a_request_of_mcp_is_passed_on_by_the_proxy"),
    met("S2-198", "Session manager: sessions and per-session queues", f"{LEGACY}::test_where_there_is_no_place_the_session_that_is_unused_longest_goes", f"{G}/test_workers_sessions.py::test_a_session_is_reached_through_every_worker", f"{LEGACY}::test_sessions_are_bounded_for_each_principal_and_end_when_idle", f"{LEGACY}::test_a_call_outlives_its_connection_and_the_answer_is_fetched_with_the_last_event_id"),
    met("S2-199", "Server capabilities: tools with listChanged", f"{MODERN}::test_discover_names_the_revisions_the_capabilities_and_the_server"),
    met("S2-200", "Capabilities: experimental entry with version", f"{MODERN}::test_discover_names_the_revisions_the_capabilities_and_the_server"),
    met("S2-201", "Server information: name and version", f"{MODERN}::test_discover_names_the_revisions_the_capabilities_and_the_server"),
    met("S2-204", "MCP_SESSION_TIMEOUT 3600 s", f"{LIMITS}::test_the_limits_are_those_of_the_file_and_of_the_founding_variables", f"{LIMITS}::test_a_session_that_is_used_stays_and_one_that_is_not_is_the_ordinary_404", f"{LEGACY}::test_sessions_are_bounded_for_each_principal_and_end_when_idle", "tests/unit/feed/test_settings.py::test_the_defaults_are_what_the_founding_documents_and_the_limits_say"),
    met("S2-205", "MCP_MAX_SESSIONS 1000", f"{LIMITS}::test_the_limits_are_those_of_the_file_and_of_the_founding_variables", f"{LIMITS}::test_all_principals_together_have_no_more_sessions_than_there_may_be", "tests/unit/feed/test_file.py::test_the_environment_overrides_the_file_and_the_first_variable_wins", "tests/unit/feed/test_settings.py::test_the_defaults_are_what_the_founding_documents_and_the_limits_say"),
    # Connections
    met("S0-48", "Async request handling", f"{BOUNDS}::test_an_upstream_takes_its_limit_and_no_more_and_the_others_do_not_notice"),
    met("S0-49", "Async HTTP client upstream", f"{HTTP_UP}::test_a_cancelled_call_closes_its_connection_and_no_other", f"{G}/faults/test_cut_upstreams.py::test_an_upstream_that_breaks_off_anywhere_costs_only_its_own_call"),
    met("S0-51", "HTTP connection reuse (pool)", f"{HTTP_CLIENT}::test_a_connection_is_used_again"),
    met("S0-53", "Automatic release of resources", f"{LINES}::test_what_runs_ends_with_its_connection", f"{STDIO_UP}::test_the_whole_tree_is_gone_when_the_upstream_is_closed"),
    met("S0-100", "Connection-pool optimisation", f"{HTTP_CLIENT}::test_a_connection_is_used_again"),
    met("S1-11", "Connection pool", f"{HTTP_CLIENT}::test_a_connection_is_used_again", f"{SESSIONS_UP}::test_many_first_calls_at_once_start_one_process"),
    met("S1-27", "Pool of connections and their configs", f"{SESSIONS_UP}::test_callers_never_share_a_legacy_session_unless_the_upstream_is_stateless"),
    met("S1-28", "create_connection: parse, connect, verify, add to pool", f"{SESSIONS_UP}::test_many_first_calls_at_once_start_one_process"),
    met("S1-29", "get_connection: from pool, check health, reconnect if needed", f"{STDIO_UP}::test_all_running_calls_fail_at_once_when_the_child_dies_and_the_next_call_is_served", f"{LEGACY_UP}::test_a_lost_session_is_opened_again_and_only_what_is_safe_is_repeated"),
    met("S1-30", "close_connection: graceful, clean, remove from pool", f"{LEGACY_UP}::test_closing_the_upstream_ends_its_sessions_there", f"{SESSIONS_UP}::test_a_session_that_nobody_used_for_ten_minutes_ends"),
    met("S1-74", "Pools, caches, async", f"{HTTP_CLIENT}::test_a_connection_is_used_again"),
    # Operation of one upstream
    met("S1-20", "start_service: check state, connect, verify availability, update state", f"{OPERATE}::test_a_stopped_upstream_is_started_again_on_a_new_connection", f"{OPERATE}::test_a_check_looks_now_and_says_what_came_of_it", f"{G}/test_workers_operate.py::test_what_is_stopped_is_stopped_in_every_worker_and_what_is_started_is_started"),
    met("S1-21", "stop_service: graceful close, clean up resources, update state", f"{OPERATE}::test_a_call_in_flight_ends_before_its_upstream_is_closed", f"{OPERATE}::test_a_stopped_upstream_refuses_calls_with_a_code_and_is_listed_as_last_seen", f"{STDIO_UP}::test_the_whole_tree_is_gone_when_the_upstream_is_closed"),
    met("S1-78", "Hubs: the store itself as MCP by HTTP, SSE, stdio", f"{E2E}::test_a_real_client_calls_tools_of_five_real_servers_behind_one_url", f"{LINES}::test_a_legacy_client_initializes_lists_calls_and_is_asked", f"{G}/test_bridge.py::test_alone_it_runs_a_gateway_itself_and_prints_nothing_but_messages"),
    met("S1-80", "patch/update/restart/disconnect/wait/check service operations", f"{WITH_A_GATEWAY}::test_an_upstream_is_checked_stopped_started_and_restarted", f"{WITH_A_GATEWAY}::test_an_upstream_is_changed_switched_off_and_removed_while_the_gateway_runs", f"{OPERATE}::test_a_restart_opens_anew_at_once_and_lets_the_calls_of_the_old_one_end", f"{OPERATE}::test_a_wait_ends_when_the_upstream_is_ready_and_otherwise_says_why_not", f"{UPSTREAM_CLI}::test_a_field_is_changed_where_it_is_and_everything_else_stays"),
    met("S2-207", "Switch transport stdio/SSE/Streamable HTTP", f"{UPSTREAM_CLI}::test_the_transport_of_an_upstream_is_switched", f"{UPSTREAM_CLI}::test_an_upstream_is_switched_from_a_url_to_a_program_and_back", f"{OPERATE}::test_the_transport_of_an_upstream_is_switched_while_the_gateway_runs"),
    otherwise("S3-82", "Service mode switch: proxy mode, server mode", NO_MODES, f"{OPERATE}::test_own_tools_and_passed_on_ones_are_served_at_one_url_or_chosen_by_server"),
    # Configuration
    met("S3-76", "Agent surface: resources, prompts, sessions, tasks", "tests/matrix/test_matrix.py::test_a_message_becomes_what_it_should", f"{LEGACY}::test_a_session_belongs_to_its_principal_and_its_server", f"{G}/test_tasks.py::test_a_call_of_a_marked_tool_is_answered_with_a_task_that_completes_with_its_result"),
    met("S1-82", "Sessions, tool tags", f"{LEGACY}::test_a_session_belongs_to_its_principal_and_its_server", f"{G}/test_tags.py::test_what_is_tagged_is_listed_and_called_and_what_is_not_is_unknown", f"{G}/test_tags.py::test_an_upstream_brings_its_tools_into_a_server_only_where_the_operator_lets_it", "tests/unit/contract/test_tags.py::test_clients_see_all_tags_sorted_and_the_rest_of_meta_as_it_was", "tests/unit/cli/test_client.py::test_tools_are_listed_by_their_tags"),
    met("S1-84", "mcp.json as configuration file", "tests/unit/feed/test_file.py::test_a_clients_file_is_understood_as_upstreams_with_one_default_server"),
    met("S3-18", "Main YAML file config/app.yaml", "tests/unit/feed/test_file.py::test_the_founding_documents_file_is_found_where_there_is_no_toolyard_yaml"),
    met("S3-20", "${NAME:default} interpolation in YAML", "tests/unit/kit/test_interpolate.py::test_a_reference_becomes_its_value_or_its_default"),
    met("S3-21", "Environment overrides file values", "tests/unit/feed/test_file.py::test_the_environment_overrides_the_file_and_the_first_variable_wins"),
    met("S3-23", "HOST, PORT", "tests/unit/feed/test_file.py::test_the_environment_overrides_the_file_and_the_first_variable_wins"),
    met("S3-25", "LOG_LEVEL, LOG_DIR", "tests/unit/test_from_settings.py::test_the_level_and_the_directory_of_logs_come_from_their_variables"),
    met("S3-26", "MCP_TIMEOUT=30", "tests/unit/feed/test_file.py::test_timeouts_and_connections_not_written_come_from_the_founding_variables", f"{SETTINGS}::test_the_defaults_are_what_the_founding_documents_and_the_limits_say"),
    met("S3-27", "MCP_MAX_CONNECTIONS=100", "tests/unit/feed/test_file.py::test_timeouts_and_connections_not_written_come_from_the_founding_variables", f"{SETTINGS}::test_the_defaults_are_what_the_founding_documents_and_the_limits_say"),
    met("S3-31", "logging.level / dir", "tests/unit/test_from_settings.py::test_the_level_and_the_directory_of_logs_come_from_their_variables", f"{SETTINGS}::test_the_founding_documents_names_of_sections_are_understood"),
    met("S3-32", "mcp.timeout / max_connections", f"{SETTINGS}::test_the_founding_documents_names_of_sections_are_understood"),
    met("S3-55", "Unified configuration manager: get(\"database.url\") dotted keys", f"{CONFIGURATION}::test_a_setting_is_found_by_its_dotted_name", f"{CONFIGURATION}::test_every_setting_has_its_name"),
    met("S3-56", "set_env_override(name, value)", f"{CONFIGURATION}::test_a_variable_can_be_overridden_and_given_back", f"{CONFIGURATION}::test_an_override_that_is_not_valid_changes_nothing_and_names_the_variable"),
    # People
    met("S0-64", "JWT authentication for production", f"{LOGINS}::test_a_login_by_name_or_email_gives_a_token_that_gateways_can_verify", f"{LOGINS}::test_a_bad_token_is_not_made_good_by_a_cookie", f"{TOKENS}::test_no_other_algorithm_is_taken", f"{TOKENS}::test_a_token_of_another_installation_is_refused"),
    met("S1-62", "authorize(user, action, resource)", f"{AUTHORIZE}::test_a_permission_or_a_grant_on_the_resource_is_needed_to_manage_something", f"{ROLES}::test_a_grant_on_one_resource_opens_the_routes_about_it_and_no_others"),
    met("S1-64", "Permissions and roles", f"{ROLES}::test_the_built_in_roles_and_all_permissions_are_listed_with_what_they_mean", f"{ROLES}::test_an_own_role_allows_what_it_says_from_its_next_change_on"),
    met("S1-65", "check_permission(user, action, resource)", f"{ROLES}::test_a_permission_is_granted_and_checked_for_a_user_everywhere_or_on_one_resource", f"{AGENTS}::test_permissions_are_granted_checked_and_taken_back"),
    met("S1-66", "grant_permission(user, permission)", f"{ROLES}::test_a_permission_is_granted_and_checked_for_a_user_everywhere_or_on_one_resource", f"{ROLES}::test_nobody_grants_or_writes_into_a_role_what_they_may_not_do_themselves", f"{AGENTS}::test_permissions_are_granted_checked_and_taken_back"),
    met("S2-71", "E-mail already registered: 400", f"{LOGINS}::test_an_email_that_is_taken_is_a_400_and_a_weak_password_a_422"),
    met("S2-72", "Publicly registered users get at least a basic role", f"{LOGINS}::test_an_account_can_be_made_by_its_owner_only_where_that_is_switched_on"),
    met("S2-73", "Registration response 201 with user data", f"{LOGINS}::test_an_account_can_be_made_by_its_owner_only_where_that_is_switched_on"),
    met("S3-33", "POST /api/v1/auth/login (username, password)", f"{LOGINS}::test_a_login_by_name_or_email_gives_a_token_that_gateways_can_verify", f"{LOGINS}::test_who_does_not_exist_costs_the_same_hash_and_gets_the_same_answer"),
    met("S3-34", "GET /api/v1/auth/me with bearer token", f"{LOGINS}::test_an_account_can_be_made_by_its_owner_only_where_that_is_switched_on", f"{LOGINS}::test_after_a_logout_neither_token_holds_here_or_at_gateways"),
    met("S3-72", "auth: refresh, logout, change-password", f"{LOGINS}::test_a_refresh_token_works_once_and_a_copy_of_it_ends_the_login", f"{LOGINS}::test_after_a_logout_neither_token_holds_here_or_at_gateways", f"{LOGINS}::test_a_changed_password_ends_all_other_logins"),
    met("S3-81", "User profile and preferences", f"{LOGINS}::test_profile_and_preferences_are_ones_own_and_take_no_rights"),
    met("S4-18", "JWT authentication", f"{LOGINS}::test_a_login_by_name_or_email_gives_a_token_that_gateways_can_verify", f"{LOGINS}::test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_until_its_tokens_expire"),
    met("S4-19", "Role-based access control", f"{ROLES}::test_an_own_role_allows_what_it_says_from_its_next_change_on", f"{PEOPLE}::test_nobody_gives_more_than_they_have_or_changes_who_has_more", f"{PEOPLE}::test_other_roles_void_the_access_token_and_a_refresh_brings_one_that_says_them"),
    met("S4-68", "POST /api/v1/auth/register {username, email, password}", f"{LOGINS}::test_an_account_can_be_made_by_its_owner_only_where_that_is_switched_on"),
    met("S4-69", "POST /api/v1/auth/login: access token", f"{LOGINS}::test_a_login_by_name_or_email_gives_a_token_that_gateways_can_verify"),
    # Operations
    met("S0-84", "Health-check endpoint", f"{PROCESS}::test_sigterm_lets_running_calls_end_and_then_the_process_ends_with_zero"),
    met("S0-85", "Performance metrics", f"{G}/test_operations.py::test_calls_are_counted_with_their_outcome_and_time"),
    met("S0-86", "Error-rate statistics", f"{G}/test_operations.py::test_the_status_tells_the_error_rate"),
    met("S0-87", "Structured log format", "tests/unit/kit/test_logs.py::test_an_event_is_one_json_object_on_one_line"),
    met("S0-88", "Log levels", "tests/unit/kit/test_logs.py::test_events_below_the_level_are_not_written"),
    met("S0-89", "Log rotation and cleaning", "tests/unit/kit/test_logs.py::test_files_are_rotated_and_old_ones_deleted"),
    # Embedded
    met("S1-5", "Core class constructed with an optional config", f"{EMBEDDED}::test_the_examples_of_the_classes_do_what_they_show", f"{EMBEDDED}::test_a_file_is_the_configuration_and_what_is_wrong_in_it_has_its_line"),
    met("S1-6", "ServiceManager", f"{EMBEDDED}::test_a_service_is_stopped_started_restarted_and_removed", f"{EMBEDDED}::test_a_clients_file_brings_several_services_at_once_or_none"),
    met("S1-7", "ToolManager", f"{EMBEDDED}::test_tools_are_listed_with_their_service_and_asked_for_anew", f"{EMBEDDED}::test_a_call_is_looked_up_checked_and_carried_out"),
    met("S1-8", "ConnectionManager", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer", f"{AGENTS}::test_agents_never_share_a_session_of_a_service_that_keeps_state"),
    met("S1-9", "ConfigManager", f"{EMBEDDED}::test_a_wrong_configuration_is_refused_with_every_key_and_nothing_changes", f"{EMBEDDED}::test_references_to_the_environment_are_expanded_and_may_be_given"),
    met("S1-14", "Explicit dependency wiring on initialisation", f"{EMBEDDED}::test_two_of_them_have_nothing_to_do_with_each_other"),
    met("S1-16", "Registry of services", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer", f"{EMBEDDED}::test_a_service_without_a_name_is_called_after_its_program_or_host"),
    met("S1-17", "Service configurations", f"{EMBEDDED}::test_a_clients_file_brings_several_services_at_once_or_none", f"{EMBEDDED}::test_a_wrong_configuration_is_refused_with_every_key_and_nothing_changes"),
    met("S1-18", "Service states", f"{EMBEDDED}::test_a_service_is_stopped_started_restarted_and_removed", f"{EMBEDDED}::test_a_service_that_does_not_answer_is_not_taken_in"),
    met("S1-19", "add_service: validate config, create instance, register, initialise connection", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer", f"{EMBEDDED}::test_a_service_that_does_not_answer_is_not_taken_in"),
    met("S1-22", "Tool registry", f"{EMBEDDED}::test_tools_are_listed_with_their_service_and_asked_for_anew"),
    met("S1-23", "Tool cache", f"{EMBEDDED}::test_what_services_offered_is_remembered_only_where_it_is_said"),
    met("S1-24", "discover_tools(service optional): list from service, parse, update registry, cache", f"{EMBEDDED}::test_tools_are_listed_with_their_service_and_asked_for_anew", f"{EMBEDDED}::test_what_services_offered_is_remembered_only_where_it_is_said"),
    met("S1-25", "call_tool: resolve definition, validate arguments, route to service, execute, process result", f"{EMBEDDED}::test_a_call_is_looked_up_checked_and_carried_out"),
    met("S1-26", "batch_call: group calls by service, run in parallel, aggregate results", f"{EMBEDDED}::test_a_batch_is_grouped_by_service_and_what_fails_fails_alone", f"{EMBEDDED}::test_the_calls_of_a_batch_run_side_by_side"),
    met("S1-32", "Registration sequence to the state running", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer"),
    met("S1-33", "Call sequence from the user to the MCP server and back", f"{EMBEDDED}::test_a_call_is_looked_up_checked_and_carried_out", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer"),
    met("S1-39", "register_service_with_validation: config validation", f"{EMBEDDED}::test_a_wrong_configuration_is_refused_with_every_key_and_nothing_changes", f"{UPSTREAMS}::test_what_cannot_work_is_refused_naming_the_field"),
    met("S1-40", "Registration: dependency check", f"{EMBEDDED}::test_a_service_that_does_not_answer_is_not_taken_in", f"{UPSTREAMS}::test_what_an_upstream_depends_on_is_looked_at_and_told"),
    met("S1-41", "Registration: resource allocation", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer", f"{EMBEDDED}::test_a_clients_file_brings_several_services_at_once_or_none", f"{UPSTREAMS}::test_an_organization_has_only_so_many_upstreams"),
    met("S1-42", "Registration: registration", f"{EMBEDDED}::test_a_service_is_checked_registered_connected_and_seen_to_answer", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed"),
    met("S1-77", "for_store() / for_agent(id) contexts: an agent sees its own subset of services", f"{AGENTS}::test_an_agent_sees_nothing_until_it_is_granted_something", f"{AGENTS}::test_two_agents_have_subsets_of_their_own_and_the_store_has_all", f"{AGENTS}::test_what_an_agent_adds_is_its_own_and_the_stores"),
    # Upstreams and tools in the management API
    met("S0-8", "Service-management API: CRUD", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed", f"{UPSTREAMS}::test_each_upstream_of_a_bulk_request_has_its_own_result"),
    met("S0-11", "MCP service manager: service registration", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed", f"{UPSTREAMS}::test_what_cannot_work_is_refused_naming_the_field", f"{UPSTREAMS}::test_what_an_upstream_depends_on_is_looked_at_and_told"),
    met("S0-20", "Storage: service configuration", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed", f"{UPSTREAMS}::test_a_secret_given_with_an_upstream_reaches_gateways_and_is_never_shown_again"),
    met("S0-45", "Registration: input, validation, persisted, service information returned", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed", f"{UPSTREAMS}::test_what_cannot_work_is_refused_naming_the_field", f"{UPSTREAMS}::test_fields_that_nobody_may_give_are_refused"),
    met("S1-52", "Service configurations are saved and loaded by the data-access layer", f"{UPSTREAMS}::test_an_upstream_is_registered_shown_changed_and_removed", f"{UPSTREAMS}::test_a_name_is_taken_once_in_each_organization"),
    met("S1-53", "Service states are saved and loaded by the data-access layer", f"{UPSTREAMS}::test_state_and_last_error_are_what_gateways_told_last", f"{UPSTREAMS}::test_starting_stopping_and_restarting_are_desired_state"),
    met("S2-41", "MCPTool.id", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition"),
    met("S2-42", "MCPTool.tool_name", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition"),
    met("S2-45", "MCPTool.description", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition"),
    met("S2-46", "MCPTool.enabled", f"{TOOLS}::test_a_change_is_effective_immediately_and_survives_what_the_upstream_does", f"{TOOLS}::test_several_tools_are_turned_off_at_once"),
    met("S2-47", "MCPTool.timeout_seconds", f"{TOOLS}::test_a_change_is_effective_immediately_and_survives_what_the_upstream_does"),
    met("S2-48", "MCPTool.config_data", f"{TOOLS}::test_a_change_is_effective_immediately_and_survives_what_the_upstream_does"),
    met("S2-52", "Default description when none is given", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition"),
    met("S2-174", "A change of a tool is in force at once, and the answer says effective_immediately", f"{TOOLS}::test_a_change_is_effective_immediately_and_survives_what_the_upstream_does"),
    met("S2-264", "tools refresh", f"{TOOLS}::test_a_refresh_has_gateways_look_again"),
    met("S3-35", "GET /api/v1/tools", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition", f"{TOOLS}::test_lists_are_filtered_and_searched"),
    met("S3-73", "tools: CRUD (made by registering upstreams, forgotten once gone), stats, categories, validate, import, export", f"{TOOLS}::test_what_upstreams_offer_is_discovered_and_listed_with_its_definition", f"{TOOLS}::test_a_change_is_effective_immediately_and_survives_what_the_upstream_does", f"{TOOLS}::test_only_what_is_gone_is_forgotten", f"{TOOLS}::test_lists_are_filtered_and_searched", f"{TOOLS}::test_arguments_are_checked_against_the_schema_without_a_call", f"{TOOLS}::test_what_is_said_of_tools_is_exported_and_imported"),
    # Virtual servers, keys, settings and files in the management API
    met("S2-30", "Groups stored in the database, changed dynamically", f"{SERVERS}::test_a_server_is_made_with_its_url_and_is_found_again", f"{SERVERS}::test_a_change_changes_what_it_names_and_says_so", f"{SERVERS}::test_gateways_know_all_that_was_said_of_a_server"),
    met("S2-31", "MCPToolGroup.id", f"{SERVERS}::test_a_server_is_made_with_its_url_and_is_found_again"),
    met("S2-32", "MCPToolGroup.name", f"{SERVERS}::test_a_code_is_taken_on_the_whole_platform_and_a_title_in_its_organization", f"{SERVERS}::test_servers_are_found_by_text_and_code_and_ordered"),
    met("S2-33", "MCPToolGroup.description", f"{SERVERS}::test_a_change_changes_what_it_names_and_says_so"),
    met("S2-34", "MCPToolGroup.api_key, stored encrypted", f"{KEYS}::test_a_key_is_shown_again_to_who_proved_their_password_and_that_is_recorded", f"{KEYS}::test_nothing_that_is_stored_answered_or_said_later_has_the_key_in_it"),
    met("S2-35", "MCPToolGroup.hashed_api_key for fast verification", f"{KEYS}::test_a_new_key_is_shown_once_and_opens_its_server"),
    met("S2-36", "MCPToolGroup.server_code for routing", f"{SERVERS}::test_a_server_is_made_with_its_url_and_is_found_again", f"{SERVERS}::test_the_server_called_default_is_at_mcp_itself_and_is_the_first_organizations"),
    met("S2-37", "MCPToolGroup.user_tier_access list", f"{SERVERS}::test_a_server_may_be_for_some_roles_and_tiers_that_the_organization_has"),
    met("S2-38", "MCPToolGroup.allowed_roles list", f"{SERVERS}::test_a_server_may_be_for_some_roles_and_tiers_that_the_organization_has"),
    met("S2-39", "MCPToolGroup.enabled", f"{SERVERS}::test_several_servers_are_switched_off_and_each_has_its_result", f"{SERVERS}::test_a_change_changes_what_it_names_and_says_so"),
    met("S2-40", "MCPToolGroup.created_by / created_at / updated_at", f"{SERVERS}::test_a_server_is_made_with_its_url_and_is_found_again"),
    met("S2-49", "Tools by server code", f"{SERVERS}::test_the_tools_of_a_server_are_those_that_its_clients_see"),
    met("S2-51", "Only enabled tools of the group are listed", f"{SERVERS}::test_the_tools_of_a_server_are_those_that_its_clients_see", f"{SERVERS}::test_a_tool_that_is_switched_off_is_off_at_every_server_of_the_organization"),
    met("S2-53", "Input schema of each tool", f"{SERVERS}::test_the_tools_of_a_server_are_those_that_its_clients_see"),
    met("S2-144", "Keys are `mcp_key_` and a token of 32 bytes", f"{KEYS}::test_a_new_key_is_shown_once_and_opens_its_server", "tests/unit/policy/test_keys.py::test_an_issued_key_has_the_documented_form_and_verifies"),
    met("S2-145", "Key stored encrypted", f"{KEYS}::test_nothing_that_is_stored_answered_or_said_later_has_the_key_in_it", f"{KEYS}::test_a_key_is_shown_again_to_who_proved_their_password_and_that_is_recorded"),
    met("S2-146", "A key is shown again to administrators only", f"{KEYS}::test_a_key_is_shown_again_to_who_proved_their_password_and_that_is_recorded", f"{KEYS}::test_while_showing_keys_again_is_switched_off_the_refusal_has_its_own_code"),
    met("S2-147", "Regenerating replaces the key, updated_at set", f"{KEYS}::test_a_rotated_key_is_good_for_its_grace_and_the_new_one_may_do_the_same"),
    met("S2-148", "Creation and regeneration of keys are recorded with who did it", f"{KEYS}::test_who_made_rotated_and_saw_a_key_is_on_record"),
    met("S2-162", "Groups: unique name; indexes on enabled and created_by", f"{SERVERS}::test_titles_are_unique_and_what_lists_are_filtered_by_has_an_index"),
    met("S2-175", "Request models with defaults", f"{SERVERS}::test_a_server_is_made_with_its_url_and_is_found_again", f"{SERVERS}::test_a_server_that_cannot_be_is_refused_with_the_reason", f"{SERVERS}::test_what_cannot_be_changed_is_refused"),
    met("S2-231", "A change is checked, kept, published to gateways and effective at once; the answer says so", "tests/control/test_serving_whole.py::test_what_is_changed_in_the_api_is_what_gateways_are_sent", f"{SWITCHES}::test_a_changed_setting_holds_at_once_and_says_so"),
    met("S2-232", "Feature switch is_service_enabled(service), set by administrators", f"{SWITCHES}::test_a_feature_of_ones_own_is_off_until_somebody_switches_it_on", f"{SWITCHES}::test_only_who_may_change_the_platform_does"),
    met("S2-233", "Feature switch is_tool_available(tool)", f"{SWITCHES}::test_a_tool_is_available_if_it_is_there_and_nobody_switched_it_off", f"{SERVERS}::test_a_tool_that_is_switched_off_is_off_at_every_server_of_the_organization"),
    met("S2-268", "Digest of a key, and an encrypted copy to show it again", f"{KEYS}::test_a_key_is_shown_again_to_who_proved_their_password_and_that_is_recorded", f"{KEYS}::test_nothing_that_is_stored_answered_or_said_later_has_the_key_in_it"),
    met("S0-41", "AppConfig.id", f"{SWITCHES}::test_all_settings_are_listed_with_their_defaults"),
    met("S0-42", "AppConfig.default_timeout_seconds = 15.0", f"{SWITCHES}::test_all_settings_are_listed_with_their_defaults", f"{SWITCHES}::test_the_default_time_limit_reaches_upstreams_that_have_none_of_their_own"),
    met("S0-44", "Configuration can be updated while running", f"{SWITCHES}::test_a_changed_setting_holds_at_once_and_says_so", f"{SWITCHES}::test_of_several_settings_all_are_changed_or_none"),
    met("S3-40", "POST /api/v1/system/upload: multipart file upload", f"{FILES}::test_an_uploaded_file_is_kept_with_its_owner_type_size_and_digest", f"{FILES}::test_what_is_no_upload_is_refused", f"{FILES}::test_an_organization_keeps_no_more_than_its_quota"),

    # The ground of the control plane
    met("S0-10", "Configuration management by API", f"{SWITCHES}::test_all_settings_are_listed_with_their_defaults", f"{SWITCHES}::test_what_was_exported_is_imported_elsewhere_each_with_its_result"),
    met("S0-17", "Data models", f"{BASE}::test_the_migrations_make_exactly_the_tables_that_the_program_expects"),
    met("S0-18", "Query building", f"{BASE}::test_what_was_created_is_listed_in_pages_in_any_order", f"{BASE}::test_a_page_that_cannot_be_is_refused_with_the_reason"),
    met("S0-19", "Transaction management", f"{BASE}::test_each_item_of_a_bulk_operation_has_its_own_result", f"{BASE}::test_a_fact_is_heard_once_its_change_is_durable_and_never_if_it_failed", f"{BASE}::test_writers_at_the_same_time_all_succeed", "tests/control/test_chaos.py::test_what_was_acknowledged_is_there_after_kills_of_the_control_process_and_of_everything"),
    met("S0-21", "System configuration is stored", f"{SWITCHES}::test_a_changed_setting_holds_at_once_and_says_so"),
    met("S0-47", "Errors are classified, logged and answered in one form", f"{BASE}::test_an_unexpected_error_says_nothing_of_the_inside", f"{BASE}::test_a_value_that_cannot_be_taken_is_named_and_not_repeated"),
    met("S0-50", "Non-blocking database operations", f"{BASE}::test_writers_at_the_same_time_all_succeed"),
    met("S0-52", "Database connection pool", f"{BASE}::test_writers_at_the_same_time_all_succeed"),
    met("S0-54", "Cache of service configuration", f"{PUBLISHER}::test_a_gateway_gets_what_it_lacks_and_then_each_change_as_one_document"),
    met("S0-57", "Models are validated by Pydantic", f"{BASE}::test_a_value_that_cannot_be_taken_is_named_and_not_repeated", "tests/control/test_openapi_holds.py::test_no_answer_is_a_500_or_other_than_the_document_says"),
    met("S0-58", "Parameter types are checked", f"{BASE}::test_a_page_that_cannot_be_is_refused_with_the_reason"),
    met("S0-59", "No SQL injection", f"{BASE}::test_text_that_looks_like_a_statement_is_only_text"),
    met("S0-60", "Errors expose nothing sensitive", f"{BASE}::test_an_unexpected_error_says_nothing_of_the_inside", f"{BASE}::test_a_value_that_cannot_be_taken_is_named_and_not_repeated", "tests/control/test_secrets_stay.py::test_a_secret_that_was_given_or_shown_once_is_nowhere_to_be_read"),
    met("S0-61", "Standard error answer", f"{BASE}::test_a_page_that_cannot_be_is_refused_with_the_reason", f"{BASE}::test_without_a_login_or_the_permission_nothing_is_done"),
    met("S0-71", "Configuration-driven feature switches", f"{SWITCHES}::test_a_switch_that_the_platform_turned_off_is_off_everywhere", f"{SWITCHES}::test_a_feature_of_ones_own_is_off_until_somebody_switches_it_on"),
    met("S0-73", "RESTful API", f"{BASE}::test_what_was_created_is_listed_in_pages_in_any_order", f"{BASE}::test_a_change_of_what_was_changed_meanwhile_is_refused"),
    met("S2-176", "Every administrative route needs somebody who may", f"{BASE}::test_an_application_with_an_undeclared_route_does_not_start", f"{BASE}::test_without_a_login_or_the_permission_nothing_is_done", "tests/control/test_tenants.py::test_every_route_answers_everybody_as_the_matrix_says"),
    met("S3-2", "FastAPI and SQLAlchemy", f"{BASE}::test_what_was_created_is_listed_in_pages_in_any_order"),
    met("S3-3", "SQLite or PostgreSQL by URL", f"{BASE}::test_a_database_goes_all_the_way_down_and_up_again_with_a_copy_kept", f"{BACKUP}::test_what_is_restored_is_what_was_backed_up"),
    met("S3-13", "/docs", f"{DOCUMENTS}::test_a_page_of_the_api_loads_everything_from_here"),
    met("S3-14", "/redoc", f"{DOCUMENTS}::test_a_page_of_the_api_loads_everything_from_here"),
    met("S3-47", "Alembic migrations are drafted from the tables", f"{BASE}::test_the_migrations_make_exactly_the_tables_that_the_program_expects"),
    met("S3-48", "Upgrade and downgrade", f"{BASE}::test_a_database_goes_all_the_way_down_and_up_again_with_a_copy_kept", f"{DATABASE_CLI}::test_a_migration_that_is_not_there_is_refused_and_nothing_is_changed"),
    met("S3-49", "Current migration and history", f"{DATABASE_CLI}::test_a_new_database_is_brought_up_and_found_whole"),
    met("S3-50", "Reset of the development database", f"{DATABASE_CLI}::test_a_reset_empties_the_database_and_keeps_a_copy"),
    met("S4-24", "Rate limits for each class of endpoints", f"{BASE}::test_who_asks_too_often_is_told_when_to_come_back"),
    met("S4-27", "Alembic migrations", f"{BASE}::test_a_database_goes_all_the_way_down_and_up_again_with_a_copy_kept"),
    met("S4-33", "Async API layer", f"{BASE}::test_writers_at_the_same_time_all_succeed"),
    met("S4-37", "FastAPI", f"{BASE}::test_what_was_created_is_listed_in_pages_in_any_order"),
    met("S4-38", "SQLAlchemy, async", f"{BASE}::test_writers_at_the_same_time_all_succeed"),
    met("S4-54", "`alembic upgrade head`", f"{DATABASE_CLI}::test_a_new_database_is_brought_up_and_found_whole"),
    met("S4-56", "/api/docs", f"{DOCUMENTS}::test_a_page_of_the_api_loads_everything_from_here"),
    met("S4-57", "/api/redoc", f"{DOCUMENTS}::test_a_page_of_the_api_loads_everything_from_here"),
    met("S3-15", "GET /api/v1/system/health", f"{FOUNDING_GATEWAY}::test_health_and_status_say_that_calls_are_served"),
    met("S3-16", "GET /api/v1/system/status", f"{FOUNDING_GATEWAY}::test_health_and_status_say_that_calls_are_served"),
    met("S4-58", "/metrics", f"{FOUNDING_GATEWAY}::test_health_and_status_say_that_calls_are_served"),
    met("S4-59", "/health", f"{FOUNDING_GATEWAY}::test_health_and_status_say_that_calls_are_served"),
    met("S3-17", "WebSocket /ws", f"{FOUNDING_GATEWAY}::test_json_rpc_is_spoken_at_ws"),
    met("S1-36", "POST /tools/call", f"{FOUNDING_GATEWAY}::test_a_tool_is_called_at_the_path_without_api"),
    met("S2-267", "/mcp/server/info; GET, POST, DELETE /mcp/server/{server_code}/mcp", f"{FOUNDING_GATEWAY}::test_a_session_is_held_at_the_servers_long_path", f"{FOUNDING}::test_the_server_says_how_it_does_and_what_speaks_mcp"),
    met("S3-38", "GET /api/v1/mcp/services", f"{FOUNDING}::test_services_are_added_and_listed_under_all_their_names"),
    met("S4-70", "GET /api/v1/mcps with a bearer token", f"{FOUNDING}::test_services_are_added_and_listed_under_all_their_names", f"{FOUNDING}::test_an_account_is_made_by_its_owner_who_logs_in_and_uses_the_token"),
    met("S1-34", "POST /services", f"{FOUNDING}::test_services_are_added_and_listed_under_all_their_names"),
    met("S1-35", "GET /services", f"{FOUNDING}::test_services_are_added_and_listed_under_all_their_names"),
    met("S2-168", "GET /groups: success, data, message", f"{FOUNDING}::test_groups_are_listed_made_changed_and_removed"),
    met("S2-169", "POST /groups makes the key", f"{FOUNDING}::test_groups_are_listed_made_changed_and_removed", f"{FOUNDING}::test_a_group_has_a_code_whatever_it_is_called"),
    met("S2-170", "GET /groups/{id}/api-key", f"{FOUNDING}::test_a_groups_key_is_shown_where_that_is_switched_on_and_says_so_elsewhere"),
    met("S2-171", "POST /groups/{id}/regenerate-key", f"{FOUNDING}::test_a_regenerated_key_takes_the_place_of_the_old_one_at_once"),
    met("S2-172", "GET /tools?group_id=", f"{FOUNDING}::test_tools_are_listed_whole_and_by_group_and_change_at_once"),
    met("S2-173", "PUT /tools/{id}", f"{FOUNDING}::test_tools_are_listed_whole_and_by_group_and_change_at_once"),
    met("S2-263", "Groups can be made, read, changed and removed; /groups/{id}/server-url", f"{FOUNDING}::test_groups_are_listed_made_changed_and_removed"),
    met("S2-265", "server/status", f"{FOUNDING}::test_the_server_says_how_it_does_and_what_speaks_mcp"),
    met("S0-104", "/tools: list of the tools", f"{FOUNDING}::test_tools_are_listed_whole_and_by_group_and_change_at_once"),
    met("S0-105", "GET/PUT /api/config", f"{FOUNDING}::test_the_configuration_is_read_and_changed"),

    # The Python client and the command line for all of it
    met("S0-1", "Client layer: MCP CLI", f"{MANAGING}::test_everything_is_managed_from_the_command_line_here_and_elsewhere", f"{OPERATIONS_CLI}::test_every_operation_has_a_command_that_asks_for_it"),
    met("S0-3", "Client layer: MCP SDK", f"{SDK_WHOLE}::test_somebody_with_a_password_manages_upstreams_servers_and_keys"),
    met("S1-1", "Python SDK", f"{SDK_MADE}::test_every_operation_is_a_method_of_the_client", f"{SDK_WHOLE}::test_somebody_with_a_password_manages_upstreams_servers_and_keys", f"{SDK}::test_the_awaited_client_does_the_same"),
    met("S1-2", "REST API", f"{SDK_MADE}::test_the_table_has_every_operation_of_the_document_and_no_other", f"{SDK_WHOLE}::test_somebody_with_a_password_manages_upstreams_servers_and_keys"),
    met("S1-3", "CLI tool", f"{OPERATIONS_CLI}::test_every_operation_has_a_command_that_asks_for_it", f"{MANAGING}::test_everything_is_managed_from_the_command_line_here_and_elsewhere"),
    met("S1-37", "Routes for every manager operation", f"{SDK_MADE}::test_the_table_has_every_operation_of_the_document_and_no_other", f"{OPERATIONS_CLI}::test_every_operation_has_a_command_that_asks_for_it"),
    met("S1-38", "CLI with a parser of commands and options", f"{OPERATIONS_CLI}::test_fields_are_options_and_win_over_the_json", f"{OPERATIONS_CLI}::test_what_is_needed_and_missing_is_said_before_anything_is_asked"),
    met("S0-97", "Service-discovery mechanism", f"{DISCOVERY}::test_servers_of_every_age_are_found_on_loopback_with_their_health", f"{DISCOVERY}::test_a_registry_is_read_and_searched", f"{DISCOVERY}::test_the_operator_finds_what_clients_of_this_machine_use"),
    met("S1-43", "Service discovery: scan for available services", f"{DISCOVERY}::test_servers_of_every_age_are_found_on_loopback_with_their_health"),
    met("S1-44", "Service discovery: automatic configuration", f"{DISCOVERY}::test_what_was_found_becomes_upstreams_if_that_is_wanted"),
    met("S1-45", "Service discovery: health check of what was found", f"{DISCOVERY}::test_servers_of_every_age_are_found_on_loopback_with_their_health", f"{DISCOVERY}::test_the_operator_finds_what_clients_of_this_machine_use"),
)  # fmt: skip

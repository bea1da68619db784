"""Each folder here is a test: a recipe that gives the finding of its name, and `expected.txt`, what a user then sees.

Folders are named by the code, with a word behind it where a code has several. Codes of the text, the schema and the
rules come from `validate`, which looks at the recipe alone; all others, and those ending in `_rows`, come from `plan`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.machine.local import cpu_label
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity
from ftc.verbs.text import Sources
from ftc.views.diagnostics import render_text
from tests.diagnostics.worlds import prepare
from tests.support.recipes import is_of_the_recipe

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIXTURES = sorted(path.name for path in HERE.glob("FTC*"))

_HUB = "tests/compiler/resolve/files/test_hub.py"
_STREAM = "tests/compiler/tokens/test_findings.py::test_each_warning_is_told_once_with_the_counts_by_split"
_PRESIDIO = "tests/compiler/quality/test_presidio.py"
_PLANS = "tests/e2e/test_saved_plans.py"
_ODD = "tests/cli/test_odd_files.py"
_AUDIT = "tests/e2e/test_audit.py"
_REPLAY = "tests/e2e/test_replay.py"
_LAUNCH = "tests/launch/test_two_machines.py"
_SITE = "tests/cli/test_launching.py"
_MERGE = "tests/e2e/test_merge.py"
_DETERMINISM = "tests/runtime/test_determinism.py"
_PREDICT = "tests/e2e/test_predict.py"
_RUN = "tests/runtime/execution/test_execute.py"

_IMAGES = "tests/compiler/resolve/rows/test_images.py"
_OWN_TOKENIZER = "tests/e2e/test_own_tokenizer.py"
_VISION = "tests/e2e/test_vision.py"

_HOSTED = "tests/e2e/test_hosted.py"
_EXTENSION = "tests/e2e/test_extension.py"
_SERVER = "tests/runtime/training/test_server_writer.py"
_STORAGE = "tests/e2e/test_storage.py"
ELSEWHERE: dict[str, str] = {
    "FTC491": "tests/compiler/resolve/rows/test_file_sets.py::test_what_a_folder_has_and_is_not_read_is_named",
    "FTC490": "tests/compiler/resolve/files/test_hub_classes.py::test_what_is_neither_or_both_stays_with_a_warning",
    "FTC489": "tests/compiler/resolve/rows/test_joined_labels.py::test_joined_labels_are_no_class_in_silence",
    "FTC488": "tests/compiler/resolve/rows/test_headers.py::test_a_first_line_that_looks_like_a_row_is_named",
    "FTC487": "tests/compiler/resolve/rows/test_mixture.py::test_a_source_that_gives_no_row_is_named",
    "FTC469": "tests/e2e/test_own_server.py::test_a_server_that_ends_at_once_says_why",
    "FTC466": f"{_SERVER}::test_faults_that_last_end_the_run_and_it_goes_on_afterwards",
    "FTC467": f"{_SERVER}::test_an_answer_that_lacks_something_is_not_trained_on",
    "FTC468": "tests/runtime/training/test_server_writer.py::test_other_probabilities_are_told_of",
    "FTC720": f"{_STORAGE}::test_a_storage_that_cannot_be_written_is_told_before_training",
    "FTC721": f"{_STORAGE}::test_a_connection_that_breaks_costs_no_step_and_the_next_checkpoint_is_stored",
    "FTC722": f"{_STORAGE}::test_a_damaged_state_is_named_and_an_older_one_used",
    "FTC673": "tests/runtime/training/test_compiled.py::test_a_run_goes_on_where_nothing_can_be_compiled",
    "FTC674": "tests/compiler/test_kernel_choices.py::test_where_there_are_none_only_who_asked_by_name_is_told",
    "FTC781": "tests/e2e/test_profile.py::test_more_steps_than_the_run_has",
    "FTC790": f"{_HOSTED}::test_what_a_service_cannot_do_is_refused_by_name",
    "FTC791": f"{_HOSTED}::test_limits_of_the_service_are_named",
    "FTC792": f"{_HOSTED}::test_openai_takes_no_jobs_from_2027_on_and_others_do",
    "FTC793": f"{_HOSTED}::test_rows_with_personal_data_stay_here_until_somebody_says_otherwise",
    "FTC794": f"{_HOSTED}::test_a_key_is_needed_and_a_bad_one_is_not_repeated",
    "FTC795": f"{_HOSTED}::test_other_tokens_stop_it_before_money_is_spent",
    "FTC796": f"{_HOSTED}::test_a_price_that_nobody_agreed_to_stops_it",
    "FTC797": f"{_HOSTED}::test_a_job_that_is_listed_late_is_found_later",
    "FTC798": f"{_HOSTED}::test_a_job_that_fails_is_paid_again_only_when_asked",
    "FTC799": f"{_HOSTED}::test_an_audit_shows_what_agrees_and_says_what_nobody_can_prove",
    "FTC611": "tests/compiler/test_check_facts.py::test_a_cpu_is_taken_beside_an_accelerator_and_said",
    "FTC470": f"{_OWN_TOKENIZER}::test_another_id_than_planned_stops_a_run",
    "FTC471": f"{_OWN_TOKENIZER}::test_what_a_recipe_brings_along_is_checked",
    "FTC472": f"{_OWN_TOKENIZER}::test_what_a_recipe_brings_along_is_checked",
    "FTC473": f"{_OWN_TOKENIZER}::test_a_normalizer_that_changes_a_token_is_told",
    "FTC474": f"{_OWN_TOKENIZER}::test_tokens_that_nobody_trains_are_refused",
    "FTC476": "tests/e2e/test_rope.py::test_a_rotation_that_is_scaled_already_is_left_alone",
    "FTC475": f"{_OWN_TOKENIZER}::test_what_a_recipe_brings_along_is_checked",
    "FTC120": f"{_IMAGES}::test_files_go_through_the_one_door",
    "FTC121": f"{_IMAGES}::test_a_file_that_is_no_usable_image_is_named_with_its_row",
    "FTC122": f"{_IMAGES}::test_a_file_that_is_no_usable_image_is_named_with_its_row",
    "FTC123": f"{_IMAGES}::test_a_file_that_is_no_usable_image_is_named_with_its_row",
    "FTC124": f"{_IMAGES}::test_a_file_that_is_no_usable_image_is_named_with_its_row",
    "FTC125": f"{_IMAGES}::test_a_model_that_reads_text_alone_refuses_images",
    "FTC127": f"{_VISION}::test_what_is_not_available_is_refused",
    "FTC128": f"{_VISION}::test_a_processor_of_another_size_is_refused",
    "FTC492": f"{_IMAGES}::test_an_empty_cell_for_an_image_is_named_with_its_row",
    "FTC129": f"{_IMAGES}::test_without_pillow_the_extra_is_named",
    "FTC480": f"{_EXTENSION}::test_a_strangers_folder_is_no_installation",
    "FTC481": f"{_EXTENSION}::test_a_package_that_can_not_be_used_is_refused",
    "FTC482": f"{_EXTENSION}::test_a_package_that_can_not_be_used_is_refused",
    "FTC483": f"{_EXTENSION}::test_a_function_that_gives_no_value_ends_the_run",
    "FTC485": "tests/e2e/test_row_reader.py::test_what_is_no_row_is_refused",
    "FTC453": "tests/e2e/test_parameters.py::test_experts_are_chosen_whole",
    "FTC414": f"{_VISION}::test_other_pixels_stop_a_run",
    "FTC027": "tests/spec/language/test_overlay.py::test_a_flag_for_an_item_that_is_not_there",
    "FTC024": "tests/spec/language/test_overlay.py::test_a_flag_that_says_nothing",
    "FTC025": "tests/compiler/recipes/test_layers.py::test_what_lies_on_top_extends_nothing",
    "FTC026": "tests/spec/language/test_layout.py::test_what_would_change_is_refused",
    "FTC107": "tests/cli/test_inputs.py::test_a_file_that_is_not_there_stops_none_of_the_others",
    "FTC245": "tests/e2e/test_findings.py::test_a_model_that_learned_nothing_says_so_everywhere",
    "FTC246": "tests/e2e/test_findings.py::test_a_model_that_learned_nothing_says_so_everywhere",
    "FTC732": "tests/e2e/test_tracking.py::test_what_can_not_be_registered",
    "FTC255": "tests/e2e/test_prompt_baselines.py::test_rows_that_lose_text_to_the_examples_are_counted",
    "FTC256": "tests/e2e/test_prompt_baselines.py::test_what_the_prompts_give_is_measured_shown_and_audited",
    "FTC247": "tests/runtime/training/test_findings.py::test_what_curves_say",
    "FTC248": "tests/runtime/training/test_findings.py::test_what_curves_say",
    "FTC249": "tests/runtime/training/test_findings.py::test_what_curves_say",
    "FTC262": "tests/runtime/training/test_packing.py::test_a_model_that_mixes_packed_rows_is_refused",
    "FTC266": "tests/runtime/training/test_chunked_loss.py::test_scores_that_change_in_a_new_way_are_refused",
    "FTC268": "tests/e2e/test_experts.py::test_what_experts_cannot_do",
    "FTC269": "tests/e2e/test_experts.py::test_what_experts_cannot_do",
    "FTC130": "tests/runtime/training/test_findings.py::test_gradients_that_overflow_often_are_named",
    "FTC288": "tests/compiler/test_passes.py::test_what_does_not_fit_together",
    "FTC289": "tests/compiler/test_passes.py::test_a_model_that_overflows_float16",
    "FTC314": f"{_HUB}::test_what_is_not_there",
    "FTC315": f"{_HUB}::test_a_gated_model_says_how_to_get_in_and_shows_no_token",
    "FTC316": f"{_HUB}::test_what_is_not_there",
    "FTC317": f"{_HUB}::test_a_pinned_commit_needs_no_hub_once_it_is_cached",
    "FTC318": "tests/e2e/test_hub_base.py::test_offline_without_a_cache",
    "FTC319": f"{_HUB}::test_hostile_names_stop_before_any_download",
    "FTC320": f"{_HUB}::test_bytes_that_differ_from_the_listing_are_refused",
    "FTC323": "tests/compiler/resolve/rows/test_data_files.py::test_a_file_that_a_data_set_lacks",
    "FTC324": "tests/compiler/resolve/rows/test_data_files.py::test_a_data_set_where_several_files_may_be_meant",
    "FTC325": f"{_ODD}::test_a_file_that_is_odd_is_named",
    "FTC326": f"{_ODD}::test_a_file_that_is_odd_is_named",
    "FTC327": f"{_ODD}::test_a_file_that_never_fits_is_refused_before_it_is_hashed",
    "FTC328": f"{_ODD}::test_a_file_that_is_odd_is_named",
    "FTC361": f"{_ODD}::test_no_file_is_read_without_a_limit",
    "FTC329": f"{_ODD}::test_a_template_that_changes_a_conversation_is_named",
    "FTC369": "tests/cli/test_hidden_text.py::test_what_an_editor_hides_is_named",
    "FTC345": "tests/compiler/resolve/models/test_model_paths.py::test_a_configuration_that_can_not_be_read",
    "FTC346": "tests/compiler/resolve/files/test_remote.py::test_addresses_that_are_not_taken",
    "FTC347": "tests/compiler/resolve/files/test_remote.py::test_what_can_not_be_had",
    "FTC351": "tests/compiler/resolve/rows/test_data_files.py::test_a_file_that_may_not_be_read",
    "FTC340": _STREAM,
    "FTC349": "tests/compiler/tokens/test_unknown.py::test_answers_that_no_token_spells_are_named",
    "FTC341": _STREAM,
    "FTC382": f"{_PRESIDIO}::test_its_finds_are_refused_and_an_unknown_country_is_pointed_at",
    "FTC389": "tests/cli/test_tokens.py::test_a_row_that_is_elsewhere_is_pointed_at",
    "FTC390": "tests/compiler/importers/test_foreign.py::test_what_is_not_read_is_refused_with_a_place",
    "FTC348": "tests/e2e/test_other_tokenizer.py::test_answers_that_a_tokenizer_rewrites_are_named",
    "FTC391": "tests/compiler/importers/test_mappings.py::test_the_tool_can_be_told",
    "FTC392": "tests/compiler/importers/test_mappings.py::test_what_can_not_become_a_recipe_gives_reasons",
    "FTC393": "tests/cli/test_tickets.py::test_dropped_rows_are_counted_and_the_others_keep_their_names",
    "FTC394": "tests/cli/test_tickets.py::test_labels_that_differ_by_case_or_blanks_are_shown_in_quotes_and_made_one",
    "FTC395": "tests/cli/test_tickets.py::test_a_typing_slip_is_pointed_out_and_no_more_rows_of_it_are_asked_for",
    "FTC397": "tests/compiler/resolve/rows/test_workbooks.py::test_what_can_not_be_read",
    "FTC398": "tests/compiler/resolve/rows/test_file_sets.py::test_a_pattern_without_files_several_kinds_and_ways_out",
    "FTC399": "tests/compiler/resolve/rows/test_time_order.py::test_the_plan_says_how_many_rows_broke_the_order",
    "FTC408": "tests/compiler/test_passes.py::test_a_disk_that_is_too_small_is_told_before_the_run",
    "FTC430": "tests/e2e/test_policy.py::test_what_is_no_policy",
    "FTC431": "tests/e2e/test_policy.py::test_a_rule_that_is_broken_and_one_that_is_kept",
    "FTC432": "tests/e2e/test_policy.py::test_a_soft_rule_needs_a_reason_that_the_plan_keeps",
    "FTC433": "tests/e2e/test_policy.py::test_a_soft_rule_needs_a_reason_that_the_plan_keeps",
    "FTC434": "tests/e2e/test_policy.py::test_a_waiver_that_does_nothing",
    "FTC444": "tests/runtime/test_rewards.py::test_a_pattern_that_takes_too_long_ends_the_run",
    "FTC449": "tests/runtime/test_rewards.py::test_a_package_that_is_missing_is_named",
    "FTC450": "tests/runtime/test_rewards.py::test_what_rewards_say_of_a_training_that_is_over",
    "FTC451": "tests/runtime/test_rewards.py::test_what_rewards_say_of_a_training_that_is_over",
    "FTC457": "tests/runtime/test_grades.py::test_a_judge_that_stays_silent_ends_the_run_and_what_it_said_is_kept",
    "FTC458": "tests/runtime/test_grades.py::test_a_reply_without_a_grade_earns_the_least_and_is_counted",
    "FTC455": "tests/runtime/test_code_runs.py::test_code_is_never_run_where_it_is_not_confined",
    "FTC505": "tests/e2e/test_lock.py::test_what_the_lock_does_not_pin",
    "FTC510": f"{_PLANS}::test_what_moved_is_named_and_nothing_is_written",
    "FTC511": f"{_PLANS}::test_what_moved_is_named_and_nothing_is_written",
    "FTC512": f"{_PLANS}::test_what_moved_is_named_and_nothing_is_written",
    "FTC513": "tests/e2e/test_state.py::test_a_lock_that_nobody_holds",
    "FTC514": "tests/e2e/test_state.py::test_a_living_holder_keeps_its_lock",
    "FTC515": "tests/runtime/execution/test_verify.py::test_what_changes_after_it_was_verified",
    "FTC516": "tests/e2e/test_diff.py::test_what_git_does_not_have",
    "FTC517": "tests/e2e/test_tracing.py::test_what_is_no_digest",
    "FTC518": "tests/e2e/test_tracing.py::test_where_a_file_comes_from",
    "FTC519": "tests/e2e/test_tracing.py::test_where_a_file_comes_from",
    "FTC520": f"{_AUDIT}::test_a_run_that_is_not_there",
    "FTC521": f"{_AUDIT}::test_one_flipped_bit",
    "FTC522": f"{_AUDIT}::test_what_is_gone_proves_nothing",
    "FTC523": f"{_AUDIT}::test_an_edited_document",
    "FTC524": f"{_AUDIT}::test_a_document_that_is_cut_off",
    "FTC525": f"{_AUDIT}::test_a_run_that_stopped_has_nothing_to_audit",
    "FTC550": "tests/e2e/test_skeptic.py::test_the_same_rows_in_other_bytes_are_noted",
    "FTC551": "tests/e2e/test_skeptic.py::test_numbers_that_were_edited_are_not_shown_without_a_word",
    "FTC561": "tests/e2e/test_going_on.py::test_an_unfinished_run_is_no_beginning",
    "FTC562": "tests/e2e/test_going_on.py::test_a_changed_parent_is_refused",
    "FTC563": "tests/e2e/test_going_on.py::test_a_parent_that_cannot_be_used_is_refused_at_its_place",
    "FTC564": "tests/e2e/test_going_on.py::test_a_parent_that_cannot_be_used_is_refused_at_its_place",
    "FTC565": "tests/e2e/test_going_on.py::test_a_parent_that_cannot_be_used_is_refused_at_its_place",
    "FTC566": "tests/e2e/test_going_on.py::test_a_parent_that_cannot_be_used_is_refused_at_its_place",
    "FTC567": "tests/e2e/test_going_on.py::test_an_audit_names_a_parent_that_was_replaced",
    "FTC568": "tests/e2e/test_going_on.py::test_rows_that_can_not_be_moved_are_refused_by_name",
    "FTC569": "tests/e2e/test_combining.py::test_what_peft_can_not_combine_is_refused",
    "FTC580": "tests/e2e/test_steering.py::test_a_step_that_the_plan_lacks",
    "FTC581": "tests/e2e/test_sweep.py::test_mistakes_have_a_place",
    "FTC582": "tests/e2e/test_sweep.py::test_mistakes_have_a_place",
    "FTC583": "tests/e2e/test_sweep.py::test_more_trials_go_on_and_another_search_is_refused",
    "FTC584": "tests/e2e/test_sweep.py::test_mistakes_have_a_place",
    "FTC585": "tests/e2e/test_sweep.py::test_mistakes_have_a_place",
    "FTC586": "tests/e2e/test_sweep.py::test_mistakes_have_a_place",
    "FTC587": "tests/e2e/test_sweep.py::test_what_is_not_there_yet",
    "FTC588": "tests/e2e/test_sweep.py::test_what_is_not_there_yet",
    "FTC654": "tests/runtime/test_changed_inputs.py::test_inputs_that_were_touched_cost_the_steps_since_the_last_proof",
    "FTC655": "tests/e2e/test_caches.py::test_a_poisoned_cache_costs_time_and_changes_nothing",
    "FTC656": "tests/e2e/test_recovery.py::test_a_run_whose_documents_are_damaged_keeps_its_checkpoints",
    "FTC660": f"{_MERGE}::test_only_a_model_that_says_the_same_is_kept",
    "FTC661": f"{_MERGE}::test_what_can_not_be_merged_says_why",
    "FTC662": f"{_MERGE}::test_what_can_not_be_merged_says_why",
    "FTC663": f"{_MERGE}::test_what_is_not_here_or_not_as_it_was",
    "FTC664": f"{_MERGE}::test_only_a_model_that_says_the_same_is_kept",
    "FTC666": f"{_MERGE}::test_what_can_not_be_exported_says_why",
    "FTC667": "tests/runtime/exports/test_converter.py::test_another_archive_is_refused",
    "FTC668": "tests/runtime/exports/test_converter.py::test_a_program_that_fails_is_quoted",
    "FTC669": "tests/runtime/exports/test_gates.py::test_scores_are_compared_with_their_spread",
    "FTC670": "tests/runtime/exports/test_gates.py::test_a_gate_that_fails_with_the_file_is_refused_unless_waived",
    "FTC672": "tests/e2e/test_going_on.py::test_a_child_that_is_worse_than_its_parent_is_not_exported",
    "FTC671": f"{_MERGE}::test_what_can_not_be_exported_says_why",
    "FTC665": "tests/runtime/artifacts/test_model_files.py::test_keys_that_disagree_are_refused",
    "FTC700": "tests/cli/test_companions.py::test_another_plan_than_the_expected_one_is_refused",
    "FTC701": f"{_LAUNCH}::test_two_plans_do_not_train_together",
    "FTC702": f"{_LAUNCH}::test_machines_without_a_shared_disk_train_one_run_and_go_on_after_a_kill",
    "FTC703": "tests/spec/storage/test_processes.py::test_mpi_without_an_address_is_refused",
    "FTC704": f"{_LAUNCH}::test_streams_that_are_nowhere_are_named",
    "FTC706": "tests/launch/test_two_machines.py::test_one_machine_alone_does_not_start_the_run_of_two",
    "FTC707": f"{_SITE}::test_settings_are_read_strictly",
    "FTC708": f"{_SITE}::test_what_slurm_says_is_shown",
    "FTC709": f"{_SITE}::test_machines_need_a_place_to_meet",
    "FTC710": f"{_SITE}::test_what_a_cluster_needs_is_named",
    "FTC711": "tests/e2e/test_packages.py::test_what_has_changed_is_not_packed",
    "FTC712": "tests/e2e/test_packages.py::test_a_damaged_package_leaves_nothing",
    "FTC713": "tests/e2e/test_packages.py::test_an_unpacked_plan_is_run_by_whoever_unpacked_it",
    "FTC714": "tests/e2e/test_continuing.py::test_what_is_not_the_same_work_is_refused",
    "FTC715": "tests/e2e/test_continuing.py::test_a_run_of_two_processes_goes_on_as_one",
    "FTC716": "tests/runtime/execution/test_agreement.py::test_a_model_is_held_by_the_processes_of_one_machine",
    "FTC680": "tests/rating/test_contest.py::test_what_can_not_be_rated_says_so",
    "FTC681": "tests/rating/test_contest.py::test_what_can_not_be_rated_says_so",
    "FTC295": "tests/compiler/search/test_device_counts.py::test_what_cannot_be_counted_is_asked_for",
    "FTC636": "tests/runtime/metrics/test_meteor.py::test_other_files_are_not_the_plans",
    "FTC652": "tests/compiler/test_wordnet.py::test_what_is_missing_is_told_before_anything_else_is_done",
    "FTC649": "tests/runtime/evaluation/test_judge.py::test_a_key_that_is_not_there_stops_the_run_before_it_begins",
    "FTC687": f"{_PREDICT}::test_what_can_not_be_used",
    "FTC688": f"{_PREDICT}::test_what_can_not_be_used",
    "FTC689": f"{_PREDICT}::test_what_can_not_be_used",
    "FTC690": f"{_PREDICT}::test_a_classification_in_every_form",
    "FTC609": "tests/e2e/test_sweep.py::test_a_sweep_from_plan_to_pick",
    "FTC608": f"{_PREDICT}::test_a_classification_in_every_form",
    "FTC691": f"{_PREDICT}::test_a_classification_in_every_form",
    "FTC692": f"{_PREDICT}::test_a_page_that_can_not_be_drawn_costs_nothing_else",
    "FTC685": "tests/e2e/test_eval.py::test_a_finished_run_is_measured_again",
    "FTC686": "tests/e2e/test_harness.py::test_base_and_tuned_model_by_the_harness",
    "FTC683": "tests/verbs/test_compare.py::test_what_can_not_be_compared_says_so",
    "FTC682": "tests/rating/test_contest.py::test_a_name_that_is_no_file_name_is_refused",
    "FTC526": "tests/e2e/test_forgeries.py::test_a_ledger_without_the_end_of_a_finished_run_allows_no_verdict",
    "FTC527": "tests/e2e/test_forgeries.py::test_a_forgery_is_found",
    "FTC528": "tests/e2e/test_forgeries.py::test_what_an_honest_run_shows_too_is_said_and_accused_of_on_demand",
    "FTC529": "tests/e2e/test_forgeries.py::test_a_signature_says_who_vouches_for_the_run",
    "FTC530": "tests/views/test_run_view.py::test_the_first_difference_is_shown_where_the_eye_ends",
    "FTC531": f"{_REPLAY}::test_one_thread_more_is_inconclusive_before_anything_is_done",
    "FTC532": f"{_REPLAY}::test_steps_that_cannot_be_done_again",
    "FTC533": f"{_REPLAY}::test_a_replaced_record_breaks_the_chain",
    "FTC534": f"{_REPLAY}::test_what_is_tampered_with_is_not_executed",
    "FTC535": f"{_REPLAY}::test_steps_that_cannot_be_done_again",
    "FTC536": f"{_REPLAY}::test_a_process_that_breaks_off_gives_no_verdict",
    "FTC537": "tests/e2e/test_skeptic.py::test_what_was_sealed_again_contradicts_the_rest",
    "FTC538": "tests/e2e/test_skeptic.py::test_the_ledger_knows_the_record_that_the_run_left",
    "FTC539": "tests/e2e/test_skeptic.py::test_what_was_changed_is_named",
    "FTC540": "tests/exports/test_signing.py::test_what_is_no_key",
    "FTC541": "tests/exports/test_signing.py::test_another_key_another_signature_and_none",
    "FTC542": "tests/exports/test_signing.py::test_every_change_is_named_and_what_a_run_no_longer_needs_may_go",
    "FTC543": "tests/exports/test_signing.py::test_links_and_emptiness_are_not_signed",
    "FTC601": "tests/compiler/resolve/machine/test_environment.py::test_without_package_data_it_says_how_to_install",
    "FTC602": "tests/e2e/test_calibrate.py::test_what_could_not_be_measured",
    "FTC603": "tests/cli/test_recipe_default.py::test_a_folder_without_a_recipe",
    "FTC604": "tests/cli/test_recipe_default.py::test_several_recipes_are_named",
    "FTC605": "tests/e2e/test_diff.py::test_a_variation_of_a_recipe",
    "FTC606": "tests/runtime/test_changed_inputs.py::test_a_run_that_was_killed_says_so_afterwards",
    "FTC607": "tests/cli/test_odd_files.py::test_no_recipe_is_begun_that_the_next_command_refuses",
    "FTC620": f"{_RUN}::test_a_changed_model_file",
    "FTC621": f"{_RUN}::test_a_changed_stream",
    "FTC622": f"{_RUN}::test_another_version_of_a_package",
    "FTC623": "tests/e2e/test_outcomes.py::test_a_plan_for_a_card_that_is_not_here",
    "FTC624": f"{_RUN}::test_another_device_or_number_of_processes",
    "FTC625": f"{_RUN}::test_another_number_of_adapted_modules",
    "FTC626": f"{_RUN}::test_a_number_that_is_not_finite_stops_before_the_step",
    "FTC627": "tests/e2e/test_interruption.py::test_two_processes_do_not_work_on_one_run",
    "FTC628": "tests/e2e/test_outcomes.py::test_a_folder_with_something_else_is_left_alone",
    "FTC629": "tests/runtime/test_resume.py::test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used",
    "FTC630": "tests/e2e/test_outcomes.py::test_a_checkpoint_that_changes_before_it_is_exported",
    "FTC294": "tests/compiler/test_check_facts.py::test_a_divided_model_has_to_fit_on_the_host",
    "FTC293": "tests/compiler/test_check_facts.py::test_more_cards_than_there_are",
    "FTC633": "tests/e2e/test_outcomes.py::test_the_device_runs_out_of_memory",
    "FTC635": "tests/e2e/test_outcomes.py::test_a_model_that_transformers_cannot_load",
    "FTC631": f"{_RUN}::test_too_little_disk",
    "FTC634": f"{_RUN}::test_an_adapter_in_the_base_folder",
    "FTC641": f"{_DETERMINISM}::test_an_environment_that_was_not_set_is_refused",
    "FTC642": f"{_DETERMINISM}::test_two_processes_that_differ_end_a_bitwise_run_before_its_first_step",
    "FTC644": "tests/runtime/execution/test_process_watch.py::test_a_process_that_never_came_is_silent_too",
    "FTC646": f"{_RUN}::test_a_step_without_a_target_changes_nothing_and_is_told",
    "FTC647": "tests/runtime/test_resume.py::test_a_full_disk_leaves_older_checkpoints_intact",
    "FTC648": "tests/runtime/test_resume.py::test_a_place_that_cannot_be_written_to_is_told_before_anything_is_loaded",
    "FTC645": f"{_RUN}::test_code_that_changes_while_the_run_goes_on_is_told",
    "FTC650": "tests/e2e/test_outcomes.py::test_a_missing_training_package",
    "FTC730": "tests/tracking/test_reporters.py::test_a_tracker_that_takes_its_time_costs_no_more_than_the_wait",
    "FTC651": "tests/cli/test_outputs.py::test_what_is_there_stays",
    "FTC653": "tests/cli/test_outputs.py::test_no_folder_is_made",
    "FTC750": "tests/e2e/test_chat.py::test_what_writes_no_text_is_named",
    "FTC751": "tests/e2e/test_chat.py::test_a_line_in_an_answer_out",
    "FTC752": "tests/e2e/test_server.py::test_servers_that_can_not_be_asked",
    "FTC753": "tests/e2e/test_server.py::test_what_goes_wrong_is_named",
    "FTC754": "tests/e2e/test_server.py::test_what_differs_is_named",
    "FTC755": "tests/e2e/test_server.py::test_what_differs_is_named",
    "FTC756": "tests/e2e/test_server.py::test_what_differs_is_named",
    "FTC757": "tests/e2e/test_drift.py::test_mistakes_are_reported",
    "FTC758": "tests/e2e/test_drift.py::test_mistakes_are_reported",
    "FTC770": "tests/e2e/test_sharing.py::test_what_was_made_of_a_run",
    "FTC771": "tests/e2e/test_sharing.py::test_what_should_not_be_shared",
    "FTC772": "tests/e2e/test_sharing.py::test_what_should_not_be_shared",
    "FTC773": "tests/e2e/test_sharing.py::test_what_should_not_be_shared",
    "FTC774": "tests/e2e/test_sharing.py::test_a_changed_repository_is_left_alone",
    "FTC775": "tests/e2e/test_sharing.py::test_whatever_the_hub_does_is_a_finding",
    "FTC776": "tests/e2e/test_sharing.py::test_files_that_differ_on_the_hub",
    "FTC777": "tests/e2e/test_sharing.py::test_what_should_not_be_shared",
    "FTC778": "tests/e2e/test_sharing.py::test_files_that_differ_on_the_hub",
    "FTC779": "tests/e2e/test_sharing.py::test_a_push_and_a_pull",
}
"""Codes that no recipe alone can give, with the test that shows each."""


def code_of(fixture: str) -> str:
    return fixture[:6]


def findings(fixture: str, recipe: Path) -> tuple[tuple[Diagnostic, ...], Sources, int]:
    """What is found, the lines that it points into, and the exit code."""
    code = code_of(fixture)
    if is_of_the_recipe(code) and not fixture.endswith("_rows"):
        checked = api.validate(recipe)
        errors = [found for found in checked.diagnostics if found.is_error]
        return checked.diagnostics, checked.sources, Refusal(errors).exit_code if errors else 0
    try:
        planned = api.plan(recipe, locked=code == "FTC503", offline=True)
    except Refusal as refusal:
        return refusal.diagnostics, refusal.sources, refusal.exit_code
    return planned.diagnostics, planned.sources, 0


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixture in a project of its own, with its surroundings, as the working folder."""
    name = request.param
    copy = tmp_path / "project"
    shutil.copytree(HERE / name, copy)
    (copy / ".ftc").mkdir()
    (copy / "expected.txt").unlink(missing_ok=True)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(copy)
    prepare(copy, name)
    return copy


@pytest.mark.parametrize(("fixture", "folder"), [(name, name) for name in FIXTURES], ids=FIXTURES, indirect=["folder"])
def test_what_a_user_sees(fixture: str, folder: Path, request: pytest.FixtureRequest) -> None:
    before = sorted(folder.rglob("*"))
    found, sources, exit_code = findings(fixture, Path("recipe.yaml"))
    code = code_of(fixture)
    assert code in [finding.code for finding in found]
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    assert exit_code == (CODES[errors[0].code].exit_code if errors else 0)
    assert all(finding.help or finding.label or finding.notes for finding in found), "none leaves a user alone"
    if errors:
        assert sorted(folder.rglob("*")) == before, "a refusal writes nothing"
    text = render_text(found, sources, width=100).replace(cpu_label(), "THIS CPU")
    expected = HERE / fixture / "expected.txt"
    if request.config.getoption("--update-golden"):
        expected.write_text(text, encoding="utf-8", newline="\n")
    assert text == expected.read_text(encoding="utf-8")


def test_every_code_is_shown() -> None:
    shown = {code_of(name) for name in FIXTURES}
    assert shown <= set(CODES)
    assert not shown & set(ELSEWHERE), "one place is enough"
    assert sorted(set(CODES) - shown - set(ELSEWHERE)) == []


def test_every_code_that_the_product_names_is_in_the_table() -> None:
    """A module of codes that the table forgets gives a traceback where its first finding is made."""
    for room in ("spec", "compiler", "runtime", "src/ftc"):
        for file in (ROOT / room).rglob("*.py"):
            unknown = set(re.findall(r'"(FTC\d{3})"', file.read_text(encoding="utf-8"))) - set(CODES)
            assert not unknown, file


@pytest.mark.parametrize(("code", "test"), ELSEWHERE.items())
def test_codes_shown_elsewhere_have_a_real_test(code: str, test: str) -> None:
    file, _, function = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(async )?def {function}\(", text, re.MULTILINE), f"{function} is not in {file}"
    assert code in text, f"{file} never names {code}"

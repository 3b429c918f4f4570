/* A plugin whose behavior a test defines. */
#ifndef PROBE_H
#define PROBE_H

#include "pointsman_test.h"

/* Configures the plugin with `json`, and runs `during` as its configure function. */
const char *configure(const char *json, void (*during)(pm_value *config));
/* Routes the test's request, and runs `during` as the plugin's route function. */
const char *route(pm_decision (*during)(pm_request *request));

/* Returns a copy of octets as a string that outlives the request: "(none)" for none. */
const char *kept(pm_str octets);

void test_text(void);
void test_request(void);
void test_edit(void);
void test_question(void);
void test_config(void);
void test_answer(void);

#endif

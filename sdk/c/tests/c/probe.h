/* A plugin that does what a test says. */
#ifndef PROBE_H
#define PROBE_H

#include "pointsman_test.h"

/* Configures with `json`, during which `during` is called. */
const char *configure(const char *json, void (*during)(pm_value *config));
/* Routes the test's request, during which `during` is called. */
const char *route(pm_decision (*during)(pm_request *request));

/* A copy of octets as a text that outlives the request: "(none)" for none. */
const char *kept(pm_str octets);

void test_text(void);
void test_request(void);
void test_edit(void);
void test_question(void);
void test_config(void);
void test_answer(void);

#endif

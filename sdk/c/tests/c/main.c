#include "probe.h"

int main(void)
{
    test_text();
    test_request();
    test_edit();
    test_question();
    test_config();
    test_answer();
    return pm_test_end();
}

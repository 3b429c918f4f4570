#include "rule.hpp"

#include "field.hpp"

std::string read_header(pointsman::Config table)
{
    pointsman::Config value = table.find("header");
    std::string_view header = value.text_or("host");
    if (!field::is_name(header))
        value.refuse('"', header, "\" is not the name of a header field");
    return field::to_lower(header);
}

Rule::Rule(pointsman::Config table)
{
    pointsman::Config suffix = table["suffix"];
    if (suffix.is_list()) {
        for (pointsman::Config item : suffix)
            read_suffix(item);
        if (suffixes_.empty())
            suffix.refuse("an empty list matches no request");
    } else if (suffix.is_text()) {
        read_suffix(suffix);
    } else {
        suffix.refuse_type("a text or a list of texts");
    }
    backend_ = table["backend"].backend();
    ignore_port_ = table.find("ignore_port").boolean_or(false);
    label_boundary_ = table.find("label_boundary").boolean_or(false);
}

void Rule::read_suffix(pointsman::Config value)
{
    std::string_view suffix = value.text();
    if (suffix.empty())
        value.refuse("an empty suffix matches every value; for the requests that no other rule "
                     "matches there is the frontend's `default_backend`");
    suffixes_.push_back(field::to_lower(suffix));
}

bool Rule::matches(std::string_view value) const
{
    if (ignore_port_)
        value = pointsman::without_port(value);
    for (const std::string &suffix : suffixes_) {
        if (field::ends_with(value, suffix) &&
            (!label_boundary_ || field::starts_label(value, suffix)))
            return true;
    }
    return false;
}

"""Properties of HaloPSA's wider schema that are kept for the client and given back.

Source: the published property lists of InvoiceHeader, InvoiceDetail and InvoicePayment_List. Left
out on purpose: columns of ours, amounts that Paydue computes, and properties that are commands.
"""

from collections.abc import Mapping

from app.halo.engine import parsing
from app.halo.engine.resource import Field

PASSTHROUGH_TEXT = "Kept and given back; Paydue computes nothing from it."
"""The text of all these properties, and of no other."""


def passthrough(
    *, flags: str = "", numbers: str = "", texts: str = "", dates: str = "", others: str = ""
) -> Mapping[str, Field]:
    """A Field for each name; the names of a kind are separated by blanks."""
    kinds = (
        (flags, parsing.flag),
        (numbers, parsing.plain_number),
        (texts, parsing.text),
        (dates, parsing.plain_moment),
        (others, parsing.nested),
    )
    return {
        name: Field(PASSTHROUGH_TEXT, parse) for names, parse in kinds for name in names.split()
    }


INVOICE = passthrough(
    flags="""
        bcd_posted contains_calculated_quantity dont_set_original_client_id
        dont_sync_to_3rd_party hideinvoice invoice_separately is_down_payment is_invoice_screen
        is_recognition minimum_price_active quickbooks_period_closed requires_approval
        schedule_ignore_delete sync_include_paid twilio_invoice
    """,
    numbers="""
        add_contract_assets add_itemsissued add_labour add_mileage add_prepay add_project
        add_salesorder add_travel approval_process_id approvalagent approvalticketid
        assigned_agent avalara_details_id client_to_invoice_to_id cloned_from_client_id
        creditlinkedtoinvoiceid creditlinkedtoinvoiceid_typeid csp_invoice_id datetype daysplus
        emailstatus exact_division
        immediate_prorata_recurring_invoice_id import_details_id intacct_recordno
        intacctseparatetaxline
        invoice_prorata_periods_ahead invoice_template_id invoiceday kashflow_tenant_id
        kashflowid mailboxid minimum_amount most_recent_invoice_id most_recent_invoice_type
        new_approvalprocess_agent_id new_approvalprocess_cab_id note_count organisation_id
        original_client_id paymentterms pdf_attachment_id pdftemplate_id percent percentold
        period_type qbo_term_id recognised_from_invoice runbook_button_id
        sage_business_cloud_details_id schedule_id sqlimport_id supplier_id
        take_payment_on_duedate ticket_client_to_invoice_to_id typeid
    """,
    texts="""
        accountsid address1 address2 address3 address4 address5 approvalemailaddress
        approvalnote assigned_agent_name avalara_details_name contactname contract_ref
        createdbyagentname creation_source creditlinkedtoinvoiceid_thirdpartynumber
        dbc_company_id dbc_id deladdress1 deladdress2 deladdress3 deladdress4 deladdress5
        duedatename exact_id exact_payment_conditon_id exact_payment_conditon_name
        generic_online_invoice_payment_url global_details global_nom_code global_tax_code
        intacct_class intacct_class_name intacct_project intacct_project_name
        intacct_save_location intacct_tax_solution intacct_tax_solution_name invoice_match_id
        invoice_type_code kashflow_pdf minimum_line_description name new_approvalprocess_email
        nextcreationperiod originaddress1 originaddress2 originaddress3 originaddress4
        originaddress5 original_client_name payment_ref pdftemplate_name periodname printhtml
        qbo_company_id qbo_term_name sage_business_cloud_id site_name snelstart_id supplier_name
        suppliers_order_reference taken_by tel_number ticket_note ticket_summary toplevel_name
        xero_branding_theme_id xero_branding_theme_name xero_default_payment_nominalcode
        xero_line_tax xero_online_invoice_payment_url xero_status xero_tenant_id
    """,
    dates="""
        approvaldatetime credit_date last_reminder_sent last_synced pdf_attachment_date_created
        period_end_date period_start_date quickbooks_close_period_date schedule_date time
    """,
    others="""
        address client custombuttons customfields exact_payment_conditon external_links
        extratabs merge_data new_approvalprocess_cab new_approvalprocess_users originaddress
        qbo_term shipaddress site xero_branding_theme
    """,
)

INVOICE_LINE = passthrough(
    flags="""
        autorenew calculate_price_from_assets calculate_price_from_users
        hide_grouped_items_price hide_on_pdf hideitems includegrouppriceandqty isActive
        is_bundled_line is_deferred_revenue is_meter is_recognised_revenue isdownpayment
        isgroupdesc item_recurring item_taxable itemonorder line_fully_invoiced
        needsreviewbeforecreation no_tax_override reviewed
        show_new_line_pro_rata_in_ready_for_invoicing synced_to_intacct tax_code_overriden
        use_qbo_ast
    """,
    numbers="""
        autorenewperiod baseprice billingperiod bundle_id
        bundle_line_id consumption_cost consumption_line_type consumption_markup
        consumption_split_original_line_id contract_id createproratanormallines credit_id
        creditlinkedidid csp_invoice_id current_reading dbc_sequence_id ddevnum
        deferred_revenue_olid deferred_revenue_olseq down_payment_complete down_payment_type
        downpayment_invoice_id downpayment_invoice_qty dsite group_id
        import_details_id importcsvid item_tax_code kashflow_line_id labourdepartmentid
        line_periods meter_id meter_min_quantity meter_pricing_method metertype milestone_id
        min_meter_units minimum_line_total myob_row_id occurrence_count
        original_client_id original_order_id original_order_seq override_ast_total
        override_tax_code percent_invoiced period_type prepay_id
        pro_rata_line_id purchase_cost purchaseorder_id
        purchaseorder_line_id quantity_custom recognised_percentage recognised_quantity
        recognized_from_invoice_line_id recurring_invoice_id recurring_invoice_line_id
        recurring_invoice_price_type recurring_invoice_quantity_type salesorder_line
        salesorder_line_id site supplier surcharge_id ticket_id
    """,
    texts="""
        asset_inventory_number bundle_name client_name comment_1 comment_2 consumption_split_id
        dbc_id entity_type intacct_department_id intacct_location_id intacct_warehouse_id
        invoice_class item_external_reference item_internal_reference item_tax_name
        myob_location productcode productnumber
        supplier_name tax_name xero_category_1_lookup xero_category_1_lookup_name
        xero_category_2_lookup xero_category_2_lookup_name xero_lineid xero_tax_code
    """,
    dates="""
        last_reading_date lineactiondate
    """,
    others="""
        customfields linked_item meter_tiers quantity_assets quantity_licences
        quantity_subscriptions quantity_users taxRuleResult
    """,
)

# Of a template, what raises its prices: ledger/price_increases.py.
TEMPLATE_INCREASE = {
    "invoice_percent_increase": Field(
        "Of a template: its prices go up by so many percent, unless a line has its own.",
        parsing.plain_number,
    ),
    "invoice_auto_increase_period": Field(
        "Of a template: how often they do, a code of `period`.", parsing.plain_number
    ),
}

# Of a template's line, what raises its price, and what ledger/quantity_edits.py turns into an
# entry. Other lines keep them, and give them back.
TEMPLATE_LINE = {
    "percent_increase": Field(
        "Of a template's line: its price goes up by so many percent.", parsing.plain_number
    ),
    "auto_increase_period": Field(
        "Of a template's line: how often it does, a code of `period`.", parsing.plain_number
    ),
    "auto_increase_last_date": Field(
        "Of a template's line: the day on which its price went up last.", parsing.plain_moment
    ),
    "exclude_auto_increase": Field(
        "Of a template's line: whether the template's own increase leaves it out.", parsing.flag
    ),
    "use_rpi_increase": Field(
        "Of a template's line: whether it follows a price index, so that no percentage counts.",
        parsing.flag,
    ),
    "prorata_next_invoice": Field(
        "Of a template's line: whether an edit of `qty_order` counts from its day on.",
        parsing.flag,
    ),
    "createproratadate": Field(
        "Of a template's line: the day from which the edit that brings it counts.",
        parsing.plain_moment,
    ),
    "prorata_quantity": Field(
        "Of a template's line: the quantity of one entry of `prorata_data`.",
        parsing.plain_number,
    ),
    "prorata_unit_price": Field(
        "The price of that entry; 0 is the line's own.", parsing.plain_number
    ),
    "prorata_shortdescription": Field("That entry in a few words.", parsing.text),
    "prorata_longdescription": Field("That entry at length.", parsing.text),
}

# What ledger/time_and_expenses.py makes a line of.
LINE_SOURCE = {
    "expense_id": Field(
        "`id` of the Expense that the line bills: its `amount` and `description` where the line "
        "has none of its own. An expense is on one invoice.",
        parsing.plain_number,
    ),
    "actioncode": Field(
        "The charge type of work, `id` of a lookup of list 17: a new line without `unit_price` "
        "has that of its ChargeRate, and `qty_order` is the hours.",
        parsing.plain_number,
    ),
}

INVOICE_PAYMENT = passthrough(
    numbers="""
        qbo_id sqlimport_id
    """,
    texts="""
        invoice_match_id myob_id nominalcode sage50_reference xero_id
    """,
    dates="""
        last_synced
    """,
)
